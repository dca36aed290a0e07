"""Recipe `clip_gray_18x64`: the grey face over the whole movement, 18 pictures of 64x64.

The input of MicroExpSTCNN (Reddy et al., IJCNN 2019), which was published on whole video frames; here it is the square
that the flow recipes show, of a face that is aligned, so that what moves in the clip is the skin and not the head.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from server.recipes.flow_window import COLUMNS, ROWS
from server.types import EventSample, Float32Array

INPUT = "clip"
FRAMES = 18
SIZE_PX = 64
DIMS: Mapping[str, tuple[int, ...]] = {INPUT: (FRAMES, SIZE_PX, SIZE_PX)}


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`clip` float32 [18, 64, 64], grey 0..255, in order of time, evenly from onset to offset."""
    squares = sample.course[:, ROWS, COLUMNS]
    return {INPUT: np.stack([_shrink(square) for square in squares])}


def _shrink(square: Float32Array) -> Float32Array:
    return np.asarray(cv2.resize(square, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA), dtype=np.float32)
