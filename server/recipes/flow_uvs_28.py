"""Recipe `flow_uvs_28`: horizontal flow, vertical flow and optical strain from onset to apex, 28x28, as images.

The input of STSTNet (Liong et al., FG 2019) and of most shallow flow networks. Strain is taken at crop resolution,
each plane is area-averaged to 28x28 and then stretched to 0..255 by itself, as in the published files: zero motion
has no fixed value, and magnitude is lost. `flow_uvs_28_iod` keeps both.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from server.recipes.flow_window import DIMS, INPUT, window_planes
from server.types import EventSample, Float32Array

__all__ = ["DIMS", "INPUT", "make", "make_within"]


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`flow` float32 [3, 28, 28], channels u (right), v (down), strain, each 0..255 (all 0 where nothing moved)."""
    return make_within(sample, sample)


def make_within(sample: EventSample, whole: EventSample) -> Mapping[str, Float32Array]:
    """The same, stretched as the planes of `whole` are: of a movement a part of which is hidden, what is left keeps its
    values, and what was hidden gets that of no motion.
    """
    planes = zip(window_planes(sample.flow), window_planes(whole.flow), strict=True)
    return {INPUT: np.stack([_stretch(plane, like) for plane, like in planes])}


def _stretch(plane: Float32Array, like: Float32Array) -> Float32Array:
    low, high = float(like.min()), float(like.max())
    if high - low < 1e-9:
        return np.zeros_like(plane)
    return np.asarray(np.clip((plane - low) * (255.0 / (high - low)), 0, 255), dtype=np.float32)
