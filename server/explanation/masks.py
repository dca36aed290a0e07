"""Where something is hidden: soft-edged masks on the aligned crop, 1 where all is hidden and 0 where nothing is.

A hard edge would itself look like a movement to a network (a tear in the flow, a line in a picture).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from server.types import CROP_IOD_PX, CROP_SIZE_PX, Float32Array, Side

REGIONS: Mapping[str, tuple[Sequence[int], Sequence[int]]] = MappingProxyType(
    {
        "brow": ((46, 70, 52, 105, 55, 107, 69, 104), (276, 300, 282, 334, 285, 336, 299, 333)),
        "eye": ((33, 159, 133, 145), (263, 386, 362, 374)),
        "cheek": ((50, 101, 117), (280, 330, 346)),
        "mouth_corner": ((61, 205, 207), (291, 425, 427)),
        "nose": ((64, 4, 294), ()),
        "lips": ((0, 11, 16, 17), ()),
        "chin": ((199, 200), ()),
    }
)
"""Points of the mesh that enclose each region on the left and on the right of the picture; a region of the midline has
none on the right. They are those that are tracked (`server.spotting.signal.REGION_LANDMARKS`), with the skin that moves
with them: the forehead with the brows, the cheek beside the mouth with its corners.
"""
HALVES = ("upper_face", "lower_face")
"""The face above and below the middle between lower lids and wings of the nose, as FACS divides action units."""

_REACH_PX = 0.2 * CROP_IOD_PX
"""So far around its points a region is hidden in full, and as far again fades out. Of the strong motion of a rendered
raise or lowering of the brows, or of a smile, a tenth at most is then left; less reach leaves up to two thirds.
"""
_PATCH_PX = 0.15 * CROP_IOD_PX
_LINE_PX = 0.05 * CROP_IOD_PX
_LOWER_LIDS, _NOSE_WINGS = [145, 374], [64, 294]


def has_sides(name: str) -> bool:
    """Whether a region has a left and a right part."""
    return name in REGIONS and bool(REGIONS[name][1])


def region_mask(landmarks: Float32Array, name: str, side: Side) -> Float32Array:
    """float32 [256, 256], 1 up to 0.2 eye distances from what the points of the region enclose, 0 from 0.4 on. Regions
    overlap, since skin moves together.

    `landmarks` float32 [468, 2] in px of the crop. The mask of both sides is the larger of theirs; that of one of
    `HALVES` is 1 on its side of the line.
    """
    if name in HALVES:
        line = float(landmarks[_LOWER_LIDS + _NOSE_WINGS, 1].mean())
        below = np.clip((np.arange(CROP_SIZE_PX) - line) / (2 * _LINE_PX) + 0.5, 0, 1)
        inside = below if name == "lower_face" else 1 - below
        return np.repeat(inside.astype(np.float32)[:, None], CROP_SIZE_PX, axis=1)
    left, right = REGIONS[name]
    chosen = {"left": [left], "right": [right], "both": [left, right] if right else [left]}[side]
    return np.asarray(np.max([_around(landmarks[list(points)]) for points in chosen], axis=0), dtype=np.float32)


def disc(centre: Float32Array) -> Float32Array:
    """float32 [256, 256], 1 up to 0.2 eye distances from `centre` (x, y in px), 0 from 0.4 on."""
    x, y = (np.arange(CROP_SIZE_PX, dtype=np.float32) - value for value in centre)
    return _soft(np.hypot(y[:, None], x[None, :]), _REACH_PX, _REACH_PX)


def cell_mask(row: int, column: int, cells: int) -> Float32Array:
    """float32 [256, 256]: a soft-edged square around one place of a grid of `cells` a side, 1 up to 0.15 eye distances
    from its centre, or half a cell where that is more.
    """
    half = max(_PATCH_PX, CROP_SIZE_PX / cells / 2)
    along = [
        _soft(np.abs(np.arange(CROP_SIZE_PX) + 0.5 - (place + 0.5) * CROP_SIZE_PX / cells), half, _PATCH_PX)
        for place in (row, column)
    ]
    return np.outer(*along)


def _around(points: Float32Array) -> Float32Array:
    # A region may reach beyond the crop, and is hidden as far as it lies within.
    outside = np.full((3 * CROP_SIZE_PX, 3 * CROP_SIZE_PX), 255, np.uint8)
    hull = np.rint(cv2.convexHull(np.asarray(points, np.float32))).astype(np.int32) + CROP_SIZE_PX
    cv2.fillPoly(outside, [hull], (0,))
    # What a hull of two points encloses is nothing.
    cv2.polylines(outside, [hull], isClosed=True, color=(0,))
    crop = slice(CROP_SIZE_PX, 2 * CROP_SIZE_PX)
    distance = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[crop, crop]
    return _soft(np.asarray(distance, np.float32), _REACH_PX, _REACH_PX)


def _soft(distance_px: npt.NDArray[np.floating], full_px: float, edge_px: float) -> Float32Array:
    return np.asarray(np.clip((full_px + edge_px - distance_px) / edge_px, 0, 1), dtype=np.float32)
