"""Recipe `apex_gray_224`: the grey face at the apex, 224x224.

The input of Micro-Attention (Wang et al., Neurocomputing 410, 2020) and of CapsuleNet (Van Quang et al., FG 2019), and
the first one of ATNet. The square is that of the flow recipes: the whole aligned face from brow to chin.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from server.recipes.flow_window import COLUMNS, ROWS
from server.types import EventSample, Float32Array

INPUT = "apex"
SIZE_PX = 224
DIMS: Mapping[str, tuple[int, ...]] = {INPUT: (1, SIZE_PX, SIZE_PX)}


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`apex` float32 [1, 224, 224], grey 0..255."""
    return {INPUT: square_of(sample.apex)[None]}


def square_of(crop: Float32Array) -> Float32Array:
    """float32 [224, 224]: the face square of `crop` float32 [256, 256], resized bilinearly."""
    resized = cv2.resize(crop[ROWS, COLUMNS], (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32)
