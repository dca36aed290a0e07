"""Recipe `apex_sequence_64`: the grey face at the apex, and the motion from step to step in 8 x 8 cells.

The inputs of ATNet (Peng et al., ACII 2019). Its authors lay the flow of consecutive camera frames around the apex in
64 rows, and move them to the end when they are read, so that what is missing leads as zeros. This is our reading of it:
33 pictures that lie evenly in time between onset and offset, whatever the camera, give 32 rows after 32 of zeros; a row
is 1/32 of the movement. The authors do not tell their flow; this is that of `step_flow`, on the square that `apex` is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from server.recipes import apex_gray_224
from server.recipes.apex_gray_224 import SIZE_PX, square_of
from server.recipes.step_flow import steps
from server.types import EventSample, Float32Array

FRAMES = 33
SEQUENCE = "sequence"
ROWS = 64
GRID = 8
DIMS: Mapping[str, tuple[int, ...]] = {**apex_gray_224.DIMS, SEQUENCE: (ROWS, 2 * GRID * GRID)}


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`apex` float32 [1, 224, 224], grey 0..255, and `sequence` float32 [64, 128]: a row for each step, in it the cells
    row by row, of each the direction of its mean motion, -pi..pi (0 right, pi / 2 down), and its mean magnitude in px.
    """
    rows = _features(*steps(np.stack([square_of(picture) for picture in sample.course])))
    sequence = np.zeros(DIMS[SEQUENCE], np.float32)
    sequence[ROWS - len(rows) :] = rows
    return {**apex_gray_224.make(sample), SEQUENCE: sequence}


def _features(u: Float32Array, v: Float32Array) -> Float32Array:
    """float32 [T, 128] of motion float32 [T, 224, 224]."""
    direction = np.arctan2(_cells(v), _cells(u))
    return np.stack([direction, _cells(np.hypot(u, v))], axis=2).reshape(len(u), -1)


def _cells(planes: Float32Array) -> Float32Array:
    """The mean of each cell, float32 [T, 64]."""
    side = SIZE_PX // GRID
    means = planes.reshape(-1, GRID, side, GRID, side).mean((2, 4), dtype=np.float32)
    return np.asarray(means.reshape(-1, GRID * GRID), dtype=np.float32)
