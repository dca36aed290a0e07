"""Recipe `flow_dual_227`: two images of the motion from onset to apex, 227x227, as pictures of 0..255.

The input of DSSN (Khor et al., ICIP 2019): u and v in both, with the magnitude of the motion in one and its optical
strain in the other. How the authors made pictures of flow is not told, so this is a reading: u and v are 16 px + 128
and the magnitude 16 px, within 0..255, so that zero motion is the same grey in every picture; strain is stretched for
each picture. Values are resized after that, and not rounded.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from server.recipes.flow_window import square_planes
from server.types import EventSample, Float32Array

MAGNITUDE, STRAIN = "magnitude", "strain"
SIZE_PX = 227
DIMS: Mapping[str, tuple[int, ...]] = {MAGNITUDE: (3, SIZE_PX, SIZE_PX), STRAIN: (3, SIZE_PX, SIZE_PX)}

_PER_PX = 16.0
_ZERO = 128.0
_STILL = 1e-9


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`magnitude` (u, v, magnitude) and `strain` (u, v, strain), float32 [3, 227, 227] each, 0..255.

    Strain is all 0 where it is the same everywhere.
    """
    return pictures(*square_planes(sample.flow))


def make_within(sample: EventSample, whole: EventSample) -> Mapping[str, Float32Array]:
    """The same with strain stretched as that of `whole` is, of which a part is hidden in `sample`."""
    strain = square_planes(whole.flow)[2]
    return pictures(*square_planes(sample.flow), bounds=(float(strain.min()), float(strain.max())))


def pictures(
    u: Float32Array, v: Float32Array, strain: Float32Array, *, bounds: tuple[float, float] | None = None
) -> Mapping[str, Float32Array]:
    """The same of planes float32 [S, S]: `u` (right) and `v` (down) in px, `strain` on any scale. `bounds` are the
    values of strain that become 0 and 255, by default its least and its largest.
    """
    shared = [_enlarge(np.clip(_PER_PX * plane + _ZERO, 0, 255)) for plane in (u, v)]
    magnitude = _enlarge(np.clip(_PER_PX * np.hypot(u, v), 0, 255))
    low, high = bounds or (float(strain.min()), float(strain.max()))
    stretched = (
        np.clip((strain - low) * (255.0 / (high - low)), 0, 255) if high - low > _STILL else np.zeros_like(strain)
    )
    return {MAGNITUDE: np.stack([*shared, magnitude]), STRAIN: np.stack([*shared, _enlarge(stretched)])}


def _enlarge(plane: Float32Array) -> Float32Array:
    resized = cv2.resize(plane, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32)
