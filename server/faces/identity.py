"""Who is who: matches faces that were just found to faces that were just lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from server.faces.align import apply, compose, invert, scale_of
from server.types import CROP_IOD_PX, Float64Array

_REACH_IOD = 1.0
_REACH_IOD_PER_S = 4.0
_MAX_SIZE_RATIO = 1.6
_LIKENESS_WEIGHT = 3.0
MIN_LIKENESS = 0.5
_CROP_MIDDLE = np.array([[128.0, 128.0]])


@dataclass(frozen=True, slots=True)
class Reunion:
    """A possible match: positions in the lists of lost and found faces, and its cost."""

    lost: int
    found: int
    cost: float


def centre_px(transform: Float64Array) -> Float64Array:
    """Middle of the face in frame px, float64 [2]."""
    return np.asarray(apply(invert(transform), _CROP_MIDDLE)[0])


def distance_iod(one: Float64Array, other: Float64Array) -> float:
    """Distance of two faces of one frame in inter-ocular distances of the larger one."""
    gap = float(np.linalg.norm(centre_px(one) - centre_px(other)))
    return gap * min(scale_of(one), scale_of(other)) / CROP_IOD_PX


def similar_size(one: Float64Array, other: Float64Array) -> bool:
    """Whether the sizes of two faces differ by less than a factor of 1.6."""
    return 1 / _MAX_SIZE_RATIO < scale_of(one) / scale_of(other) < _MAX_SIZE_RATIO


def within_reach(last: Float64Array, gap_s: float, found: Float64Array) -> bool:
    """Whether a face last seen at `last` can be at `found` after `gap_s` seconds, by place and size."""
    reach = _REACH_IOD + _REACH_IOD_PER_S * gap_s
    return similar_size(last, found) and distance_iod(last, found) <= reach


def reunion_cost(last: Float64Array, gap_s: float, found: Float64Array, likeness: float) -> float | None:
    """Cost of taking the face at `found` for the one last seen at `last`; None when it cannot be.

    `likeness` is the correlation of the two aligned pictures; it decides between faces that crossed.
    """
    if likeness < MIN_LIKENESS or not within_reach(last, gap_s, found):
        return None
    return distance_iod(last, found) - _LIKENESS_WEIGHT * likeness


def cheapest(candidates: Sequence[Reunion]) -> dict[int, int]:
    """Found -> lost, each used once, cheapest first."""
    chosen: dict[int, int] = {}
    for candidate in sorted(candidates, key=lambda each: each.cost):
        if candidate.found not in chosen and candidate.lost not in chosen.values():
            chosen[candidate.found] = candidate.lost
    return chosen


def moved(transform: Float64Array, shift_px: Float64Array) -> Float64Array:
    """The frame -> crop transform of the face after it moved by `shift_px` [2] in the frame."""
    back = np.array([[1, 0, -shift_px[0]], [0, 1, -shift_px[1]]], np.float64)
    return compose(transform, back)
