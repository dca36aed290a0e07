"""When a face speaks: the mouth goes to and fro, again and again, as no expression does.

A micro-expression goes out and comes back once. A mouth that goes out again without a pause, each way within a third
of a second and larger than noise explains, articulates: syllables follow each other at 3 to 6 Hz. Movements of the
mouth alone are not expressions then; what the brows do meanwhile may be one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from server.spotting.baseline import regular
from server.spotting.signal import REGIONS, MotionSignal
from server.types import Float32Array, Float64Array

COUPLED = tuple(name.startswith(("mouth", "lip", "chin", "cheek", "nose")) for name in REGIONS)
"""Regions that move with the jaw and the lips."""
_ARTICULATING = [r for r, name in enumerate(REGIONS) if name.startswith(("mouth", "lip", "chin"))]

_CHIN = REGIONS.index("chin")
JAW = (REGIONS.index("lip_lower"), _CHIN)
"""Regions that every syllable moves that opens the mouth."""

_SWING_IOD = 0.012
_HALF_WAVE_S = 0.34
_HALF_WAVES = 3
_SHORTEST_S = 0.4
_HOLD_S = 0.2
_NEAR = 0.15
_PAUSE_S = 0.5
_MARGIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Speech:
    """When a face speaks, and when a region of the mouth, by its place in `REGIONS`, goes to and fro all alone.

    All from when to when in seconds of the clip: `syllables` that follow each other, from the first to the last, and
    `spells` with the second before and after in which single ones fall, as `alone` are.
    """

    syllables: list[tuple[float, float]]
    spells: list[tuple[float, float]]
    alone: list[tuple[float, float, int]]

    def explains(self, region: int, time_s: float, *, jaw_moves: bool) -> bool:
        """Whether what `region` does at `time_s` is speech, or an error of its own.

        A syllable by itself opens the mouth: in the second before and after others, what leaves the jaw where it is is
        none, as a smile of someone who has just spoken.
        """
        if not COUPLED[region]:
            return False
        alone = [(start, stop) for start, stop, erring in self.alone if erring == region]
        spans = [*alone, *(self.spells if jaw_moves else self.syllables)]
        return any(start <= time_s <= stop for start, stop in spans)


def speaking(signal: MotionSignal) -> list[tuple[float, float]]:
    """From when to when, in seconds of the clip, the face speaks; a second before and after is for single syllables."""
    steady = ~signal.unsteady
    if steady.sum() < 2:
        return []
    grid, displacement = regular(signal.times_s[steady], signal.displacement[steady])
    return speech_in(grid, displacement).spells


def speech_in(grid_s: Float64Array, displacement: Float32Array) -> Speech:
    """The same for regular samples: times float64 [G] and displacement float32 [G, R, 2].

    A jaw that speaks takes the chin or several regions of the mouth along, if not all of them without a pause. A lip or
    a corner of the mouth that articulates while no other region goes to and fro is one whose points are lost from
    sight, as on a mouth that opens or a head that turns.
    """
    swings = [
        (region, _fast_swings(grid_s, displacement[:, region, axis])) for region in _ARTICULATING for axis in range(2)
    ]
    spans = sorted((*span, region) for region, fast in swings for span in _articulation(fast))
    spells: list[tuple[float, float, set[int]]] = []
    for start, stop, region in spans:
        if spells and start - spells[-1][1] <= _PAUSE_S:
            spells[-1] = (spells[-1][0], max(stop, spells[-1][1]), spells[-1][2] | {region})
        else:
            spells.append((start, stop, {region}))
    speech, syllables, alone = [], [], []
    for start, stop, regions in spells:
        wide = max(start - _MARGIN_S, float(grid_s[0])), min(stop + _MARGIN_S, float(grid_s[-1]))
        along = {region for region, fast in swings if _count(fast, start, stop) >= _HALF_WAVES}
        if len(regions | along) > 1 or _CHIN in regions:
            speech.append(wide)
            syllables.append((start - _HOLD_S, stop + _HOLD_S))
        else:
            alone.append((*wide, min(regions)))
    return Speech(syllables, _merged(speech, 0.0), alone)


def _count(swings: list[tuple[float, float]], start_s: float, stop_s: float) -> int:
    """How many of `swings` lie between two times, give or take a moment."""
    return sum(start_s - _HOLD_S <= start and stop <= stop_s + _HOLD_S for start, stop in swings)


def _merged(spans: list[tuple[float, float]], gap_s: float) -> list[tuple[float, float]]:
    """`spans`, in order of their start, with those that are `gap_s` or less apart as one."""
    merged: list[tuple[float, float]] = []
    for start, stop in spans:
        if merged and start - merged[-1][1] <= gap_s:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _fast_swings(grid_s: Float64Array, place: Float32Array) -> list[tuple[float, float]]:
    """Each way of `place` [G] from one turning point to the next that is fast enough for a syllable."""
    swings = ((float(grid_s[start]), float(grid_s[stop])) for start, stop in _swings(place))
    return [(start, stop) for start, stop in swings if stop - start <= _HALF_WAVE_S]


def _articulation(swings: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Stretches in which fast swings follow each other without a pause."""
    chains: list[list[tuple[float, float]]] = []
    for start, stop in swings:
        if chains and start - chains[-1][-1][1] <= _HOLD_S:
            chains[-1].append((start, stop))
        else:
            chains.append([(start, stop)])
    return [
        (chain[0][0], chain[-1][1])
        for chain in chains
        if len(chain) >= _HALF_WAVES and chain[-1][1] - chain[0][0] >= _SHORTEST_S
    ]


def _swings(place: Float32Array) -> list[tuple[int, int]]:
    """Each way from one turning point to the next, without the time that is spent near either."""
    points = turning_points(place, _SWING_IOD)
    found = []
    for start, stop in pairwise(points):
        way = (place[start : stop + 1] - place[start]) / (place[stop] - place[start])
        found.append((start + int(np.flatnonzero(way <= _NEAR)[-1]), start + int(np.flatnonzero(way >= 1 - _NEAR)[0])))
    return found


def turning_points(place: Float32Array, swing: float) -> list[int]:
    """Indices at which `place` [G] turns back by at least `swing`, minima and maxima in turn, and the last extreme."""
    found: list[int] = []
    if float(np.ptp(place)) < swing:
        return found
    low = high = 0
    rising: bool | None = None
    extremes = _extremes(place)
    values = dict(zip(extremes, place[extremes].tolist(), strict=True))
    for index, value in values.items():
        low = index if value < values[low] else low
        high = index if value > values[high] else high
        if rising is not False and value <= values[high] - swing:
            found.append(high)
            rising, low = False, index
        elif rising is not True and value >= values[low] + swing:
            found.append(low)
            rising, high = True, index
        if rising is True and index == high:
            low = index
        elif rising is False and index == low:
            high = index
    return [*found, high if rising else low] if found else []


def _extremes(place: Float32Array) -> list[int]:
    """Where `place` [G] turns at all, with both ends; of what stays the same the first sample."""
    changed = np.concatenate([[0], np.flatnonzero(np.diff(place)) + 1])
    rises = np.diff(place[changed]) > 0
    inner = np.flatnonzero(rises[1:] != rises[:-1]) + 1
    return [0, *changed[inner].tolist(), int(changed[-1])]
