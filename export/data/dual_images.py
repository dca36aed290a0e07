"""Stretched flow images as DSSN might have seen them: an estimate, since stretching has lost the strength of motion.

The images of MEGC2019 have each channel stretched to 0..255, so neither zero nor a pixel of motion is in them. Zero is
put where the nose is, which hardly moves, and the spread of the motion to what it is in rendered expressions on the
median; that is our reading, no source has it. Sides keep their sign: `RMS_PX` was found without any real sample.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from server.recipes.flow_dual_227 import pictures
from server.types import Float32Array, UInt8Array

DUAL_RECIPE = "flow_dual_227"
RMS_PX = 0.8
"""Spread of u and v about the nose, px of the crop: about the median of rendered expressions."""
_NOSE = (slice(8, 17), slice(11, 17))
_LEAST = 1e-6


def dual_images(images: UInt8Array) -> Mapping[str, Float32Array]:
    """The inputs of `flow_dual_227`, float32 [N, 3, 227, 227] each, of `images` uint8 [N, 3, 28, 28] (u, v, strain)."""
    made = [_one(image.astype(np.float32)) for image in images]
    return {name: np.stack([each[name] for each in made]) for name in made[0]}


def _one(image: Float32Array) -> Mapping[str, Float32Array]:
    motion = image[:2] - np.median(image[:2, *_NOSE], axis=(1, 2), keepdims=True)
    spread = float(np.sqrt(np.square(motion).mean()))
    u, v = motion * np.float32(RMS_PX / max(spread, _LEAST))
    return pictures(u, v, image[2])
