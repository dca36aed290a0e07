"""Recipe `frames_8x128`: eight grey frames of the aligned face from onset to offset, 128x128.

The input of MOL (Shao et al., TPAMI 2025, arXiv 2506.14511). The whole crop is shown, averaged over 2x2 px: about as
much as the authors' frames, which span 2.24 times the larger of the distance of the eyes and that of eyes and mouth.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from server.types import CROP_SIZE_PX, EventSample, Float32Array

INPUT = "video"
FRAMES = 8
SIZE_PX = 128
DIMS: Mapping[str, tuple[int, ...]] = {INPUT: (1, FRAMES, SIZE_PX, SIZE_PX)}

_BLOCK = CROP_SIZE_PX // SIZE_PX


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`video` float32 [1, 8, 128, 128], grey 0..255, evenly in time."""
    blocks = sample.course.reshape(1, FRAMES, SIZE_PX, _BLOCK, SIZE_PX, _BLOCK)
    return {INPUT: np.asarray(blocks.mean((3, 5)), dtype=np.float32)}
