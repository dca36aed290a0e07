"""Recipe `flow_uvs_28`: horizontal flow, vertical flow and optical strain from onset to apex, 28x28, as images.

The input of STSTNet (Liong et al., FG 2019) and of most shallow flow networks. Strain is taken at crop resolution,
each plane is area-averaged to 28x28 and then stretched to 0..255 by itself, as in the published files: zero motion
has no fixed value, and magnitude is lost.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from server.types import EventSample, Float32Array

INPUT = "flow"
SIZE_PX = 28
DIMS: Mapping[str, tuple[int, ...]] = {INPUT: (3, SIZE_PX, SIZE_PX)}

# The published images show the square with the eyes at 0.2 and 0.8 of its width and a quarter of the way down.
_ROWS = slice(48, 240)
_COLUMNS = slice(32, 224)


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`flow` float32 [3, 28, 28], channels u (right), v (down), strain, each 0..255 (all 0 where nothing moved)."""
    planes = (sample.flow.u, sample.flow.v, sample.flow.strain)
    return {INPUT: np.stack([_stretch(_shrink(plane[_ROWS, _COLUMNS])) for plane in planes])}


def _shrink(plane: Float32Array) -> Float32Array:
    return np.asarray(cv2.resize(plane, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _stretch(plane: Float32Array) -> Float32Array:
    low, high = float(plane.min()), float(plane.max())
    if high - low < 1e-9:
        return np.zeros_like(plane)
    return np.asarray((plane - low) * (255.0 / (high - low)), dtype=np.float32)
