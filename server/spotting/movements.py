"""What moves, region by region: runs above the threshold, cut into one movement per summit, and put together again.

A region is one column of `size`, its distance from the resting level; what several regions do at once is one event.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from server.spotting.baseline import runs
from server.types import Float32Array

_SPLIT_SHARE = 0.6
_SAME_SHARE = 0.5
_STRETCH = 256
"""Grid samples."""


@dataclass(frozen=True, slots=True)
class Movement:
    """A run of one region above its threshold, in grid samples; `excess` is its peak over the threshold."""

    region: int
    start: int
    apex: int
    stop: int
    excess: float


def movements_in(size: Float32Array, thresholds: Float32Array) -> list[Movement]:
    """Movements of all regions: where `size` float32 [G, R] is above `thresholds` float32 [R], both in IOD."""
    out: list[Movement] = []
    above = runs(size > thresholds)
    for region, start, stop in zip(*(each.tolist() for each in above), strict=True):
        out += _split(size[:, region], region, start, stop, float(thresholds[region]))
    return out


def _split(y: Float32Array, region: int, start: int, stop: int, threshold: float) -> list[Movement]:
    """One movement per summit: a run is cut at its lowest inner point where both sides rise well above it."""
    found: list[Movement] = []
    # A face that never rests has thousands of summits in one run: more than calls can be nested.
    runs = [(start, stop)]
    while runs:
        first, last = runs.pop()
        if last <= first:
            continue
        apex = first + int(np.argmax(y[first:last]))
        cut = _valley(y, first, apex, last, threshold)
        if cut is None:
            found.append(Movement(region, first, apex, last, float(y[apex]) / threshold))
        else:
            runs += [(cut + 1, last), (first, cut)]
    return found


def _valley(y: Float32Array, start: int, apex: int, stop: int, threshold: float) -> int | None:
    """Where a run is to be cut; None where `apex` is its only summit."""
    for low, high in ((start, apex), (apex + 1, stop)):
        if high - low < 3:
            continue
        side = y[low:high]
        # The deepest valley between this summit and the next one, as seen from the summit.
        running = np.minimum.accumulate(side[::-1])[::-1] if low == start else np.minimum.accumulate(side)
        rise = side - running
        other = int(np.argmax(rise))
        valley = running[other]
        if valley < _SPLIT_SHARE * side[other] and side[other] > threshold:
            inner = y[min(low + other, apex) : max(low + other, apex) + 1]
            return min(low + other, apex) + int(np.argmin(inner))
    return None


def group(movements: list[Movement]) -> list[list[Movement]]:
    """What moves at the same time is one event, led by its strongest region: the first of each list."""
    groups: list[list[Movement]] = []
    # Groups by the stretches of the clip that their leads touch: no other can overlap.
    nearby: defaultdict[int, list[int]] = defaultdict(list)
    for movement in sorted(movements, key=lambda m: -m.excess):
        stretches = range(movement.start // _STRETCH, (movement.stop - 1) // _STRETCH + 1)
        for number in sorted({number for stretch in stretches for number in nearby[stretch]}):
            lead = groups[number][0]
            overlap = min(lead.stop, movement.stop) - max(lead.start, movement.start)
            if overlap >= _SAME_SHARE * min(lead.stop - lead.start, movement.stop - movement.start):
                groups[number].append(movement)
                break
        else:
            for stretch in stretches:
                nearby[stretch].append(len(groups))
            groups.append([movement])
    return groups
