"""Recipe `clip_regions_18x32`: eyes and mouth by themselves over the whole movement, 18 grey pictures of 32x32 each.

The input of MicroExpFuseNet (Reddy et al., IJCNN 2019). Its boxes are corners between points of dlib's 68: for the eyes
from point 19 (top of a brow) down to point 1 (jaw, below the eye) between the jaw's points 1 and 15; for the mouth from
point 2 (jaw, nose) down to point 6 (jaw, below the lips) between 2 and 14. Here they are the points of the mesh that
lie there. The published code finds landmarks in every frame, whose jitter then looks like motion: here one box holds
for the whole movement. Point 6 lies below the aligned crop, of which the mouth's box then ends at the lower border.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from server.types import CROP_SIZE_PX, EventSample, Float32Array

EYES, MOUTH = "eyes", "mouth"
FRAMES = 18
SIZE_PX = 32
DIMS: Mapping[str, tuple[int, ...]] = {EYES: (FRAMES, SIZE_PX, SIZE_PX), MOUTH: (FRAMES, SIZE_PX, SIZE_PX)}

MESH_POINTS: Mapping[int, int] = {1: 234, 2: 93, 6: 149, 14: 323, 15: 454, 19: 105}
"""By number among dlib's 68, counted from 0: the point of the mesh of 468 at the same place of the face."""
LEAST_PX = 16
"""No box is narrower: a head that looks up or down may have its brow at the height of the jaw's point."""

_EYES = (19, 1, 1, 15)
_MOUTH = (2, 6, 2, 14)

Box = tuple[slice, slice]


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`eyes` and `mouth`, float32 [18, 32, 32] each, grey 0..255, in order of time; boxes are stretched to squares."""
    eyes, mouth = boxes(sample.landmarks_crop)
    return {EYES: _cut(sample.course, eyes), MOUTH: _cut(sample.course, mouth)}


def boxes(landmarks: Float32Array) -> tuple[Box, Box]:
    """Rows and columns of the eyes and of the mouth, within the crop, by `landmarks` float32 [468, 2] in crop px."""
    eyes, mouth = (
        (
            _span(_at(landmarks, top)[1], _at(landmarks, bottom)[1]),
            _span(_at(landmarks, left)[0], _at(landmarks, right)[0]),
        )
        for top, bottom, left, right in (_EYES, _MOUTH)
    )
    return eyes, mouth


def _at(landmarks: Float32Array, point: int) -> Float32Array:
    return np.asarray(landmarks[MESH_POINTS[point]], dtype=np.float32)


def _span(first: float, last: float) -> slice:
    """From `first` up to `last`, rounded, inside the crop and at least `LEAST_PX` long."""
    start = int(np.clip(np.rint(first), 0, CROP_SIZE_PX - LEAST_PX))
    return slice(start, int(np.clip(np.rint(last), start + LEAST_PX, CROP_SIZE_PX)))


def _cut(course: Float32Array, box: Box) -> Float32Array:
    return np.stack([_shrink(picture[box]) for picture in course])


def _shrink(region: Float32Array) -> Float32Array:
    return np.asarray(cv2.resize(region, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA), dtype=np.float32)
