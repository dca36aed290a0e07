"""Recipe `apex_gray_128`: the grey face at the apex, 128x128.

The input of the discriminator of ICE-GAN (Yu et al., IJCNN 2021), whose size the paper's figure does not show. The
square is that of the flow recipes, area-averaged.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from server.recipes.flow_window import COLUMNS, ROWS
from server.types import EventSample, Float32Array

INPUT = "apex"
SIZE_PX = 128
DIMS: Mapping[str, tuple[int, ...]] = {INPUT: (1, SIZE_PX, SIZE_PX)}


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`apex` float32 [1, 128, 128], grey 0..255."""
    resized = cv2.resize(sample.apex[ROWS, COLUMNS], (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
    return {INPUT: np.asarray(resized, dtype=np.float32)[None]}
