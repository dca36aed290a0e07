"""Recipe `motion_9x64`: what moved from each picture of the movement to the next, its strain, and the face itself.

The input of ELRCN (Khor et al., FG 2018): 10 pictures evenly from onset to offset and the 9 steps between them, here at
64x64 instead of 224x224. Strain and face are those of the picture in which a step ends.

The published motion is that of TV-L1. Nine fields of it would cost seconds; these are from dense inverse search
(Kroeger et al., ECCV 2016), to the finest scale, on the face square at 128 px, which is their unit. Strain is taken
there too, by backward differences as published, and everything is then averaged to 64 px.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import cv2
import numpy as np

from server.recipes.flow_window import COLUMNS, ROWS
from server.types import EventSample, Float32Array

FLOW, STRAIN, GRAY = "flow", "strain", "gray"
FRAMES = 10
STEPS = FRAMES - 1
SIZE_PX = 64
MEASURED_PX = 128
"""Side of the square on which motion is measured, and whose px are its unit."""
DIMS: Mapping[str, tuple[int, ...]] = {
    FLOW: (STEPS, 3, SIZE_PX, SIZE_PX),
    STRAIN: (STEPS, 1, SIZE_PX, SIZE_PX),
    GRAY: (STEPS, 1, SIZE_PX, SIZE_PX),
}

LEVELS_PER_PX = 16.0
STILL = 128.0
"""Value of no motion, of the magnitude as well."""
STRAIN_BOUND = 100.0
"""Percent, where the published pictures saturate."""


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`flow` float32 [9, 3, 64, 64]: u (right), v (down) and magnitude, each 16 x + 128 within 0..255, x in px of the
    face square at 128 px; `strain` float32 [9, 1, 64, 64] in percent, 0..100; `gray` float32 [9, 1, 64, 64], 0..255.
    """
    squares = [_shrink(picture[ROWS, COLUMNS], MEASURED_PX) for picture in sample.course]
    # It keeps buffers between calls, so it may not be shared between threads.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # The presets stop at half or quarter resolution, where most of a sub-pixel motion is lost.
    search.setFinestScale(0)
    bytes_ = [np.clip(np.rint(square), 0, 255).astype(np.uint8) for square in squares]
    start = np.zeros((MEASURED_PX, MEASURED_PX, 2), np.float32)
    fields = [np.asarray(search.calc(*pair, start.copy()), np.float32) for pair in pairwise(bytes_)]
    return {
        FLOW: np.stack([[_shrink(plane, SIZE_PX) for plane in flow_levels(*np.moveaxis(f, 2, 0))] for f in fields]),
        STRAIN: np.stack([_shrink(strain_percent(*np.moveaxis(f, 2, 0)), SIZE_PX)[None] for f in fields]),
        GRAY: np.stack([_shrink(square, SIZE_PX)[None] for square in squares[1:]]),
    }


def flow_levels(u: Float32Array, v: Float32Array) -> Float32Array:
    """u, v and their magnitude (float32 [H, W] in px) as levels, float32 [3, H, W] within 0..255; not rounded."""
    levels = LEVELS_PER_PX * np.stack([u, v, np.hypot(u, v)]) + STILL
    return np.asarray(np.clip(levels, 0, 255), dtype=np.float32)


def strain_percent(u: Float32Array, v: Float32Array) -> Float32Array:
    """sqrt(ux^2 + vy^2 + (uy + vx)^2 / 2) by backward differences, the first ones 0: float32 [H, W], percent."""
    ux, vx = (np.diff(plane, axis=1, prepend=plane[:, :1]) for plane in (u, v))
    uy, vy = (np.diff(plane, axis=0, prepend=plane[:1]) for plane in (u, v))
    strain = 100.0 * np.sqrt(ux * ux + vy * vy + 0.5 * (uy + vx) ** 2)
    return np.asarray(np.minimum(strain, STRAIN_BOUND), dtype=np.float32)


def _shrink(plane: Float32Array, side: int) -> Float32Array:
    return np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA), dtype=np.float32)
