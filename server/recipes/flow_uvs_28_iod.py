"""Recipe `flow_uvs_28_iod`: the planes of `flow_uvs_28` in physical units, so that zero and magnitude are kept.

Displacement is in percent of the inter-ocular distance, which makes faces of all sizes alike; optical strain, a ratio,
is in percent as well. Strain is taken at crop resolution and area-averaged like the motion.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from server.recipes.flow_window import DIMS, INPUT, window_planes
from server.types import CROP_IOD_PX, EventSample, Float32Array

__all__ = ["DIMS", "INPUT", "MOTION_BOUND", "STRAIN_BOUND", "make"]

MOTION_BOUND = 30.0
"""Percent of the IOD, about what the jaw of a wide open mouth goes; beyond, the estimator has lost the face."""
STRAIN_BOUND = 50.0
"""Percent, as mean of a cell of 7 px. Skin stretches less; more is a tear in the flow."""

_SCALES = np.array([100.0 / CROP_IOD_PX, 100.0 / CROP_IOD_PX, 100.0], np.float32)[:, None, None]
_LOW = np.array([-MOTION_BOUND, -MOTION_BOUND, 0.0], np.float32)[:, None, None]
_HIGH = np.array([MOTION_BOUND, MOTION_BOUND, STRAIN_BOUND], np.float32)[:, None, None]


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`flow` float32 [3, 28, 28]: u (right), v (down) in percent of the IOD within +-30, strain in percent, 0..50."""
    return {INPUT: np.clip(_SCALES * window_planes(sample.flow), _LOW, _HIGH)}
