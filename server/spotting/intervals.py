"""Regional motion to intervals: onset, apex and offset of every micro- and macro-expression of a whole clip.

After He (ACM MM 2021, and the code for MEGC 2024): a region moves when its displacement from rest passes a threshold
of 0.014 to 0.018 IOD; what moves together is one event. Boundaries are where the movement starts and ends, found by
following its rise down to a tenth and extrapolating the sin^2 shape that such movements have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from server.spotting.baseline import at_rest, regular
from server.spotting.signal import LIDS, REGIONS, MotionSignal
from server.types import EventKind, Float32Array, Float64Array, Interval

MICRO_S = 0.5
"""Longest micro-expression (Yan et al. 2013)."""
MACRO_S = 4.0
_SHORTEST_S = 0.08
_TOLERANCE_S = 0.03

_THRESHOLDS_IOD = {"brow": 0.015, "cheek": 0.016, "nose": 0.018, "mouth": 0.014, "lip": 0.016, "chin": 0.018}
_NOISE_FACTOR = 4.0
_SPLIT_SHARE = 0.6
_FOOT_SHARE = 0.1
_SINE_FOOT = 0.69
"""On a sin^2 rise the start lies 0.69 of the way from the tenth to the half beyond the tenth."""
_RISE_AGAIN = 0.33
_BLINK_IOD = 0.03
_BLINK_SHARE = 0.35
_UNSTEADY_SHARE = 0.5
_SAME_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class _Movement:
    """A run of one region above its threshold, in grid samples; `excess` is its peak over the threshold."""

    region: int
    start: int
    apex: int
    stop: int
    excess: float


def spot(signal: MotionSignal) -> list[Interval]:
    """Every expression in a clip, in order of onset.

    Args:
        signal: displacement against the resting face; at least two frames.

    Returns:
        Intervals with frames of the clip. None for a face at rest, for blinks and for what the head did.
    """
    if len(signal.times_s) < 2:
        return []
    grid, displacement = regular(signal.times_s, signal.displacement)
    size = np.linalg.norm(displacement - at_rest(grid, displacement), axis=-1).astype(np.float32)
    thresholds = _thresholds(size, float(grid[-1] - grid[0]))
    events = _group(_movements(size, thresholds))
    found = (_interval(event, grid, size, thresholds, signal) for event in events)
    return sorted((x for x in found if x is not None), key=lambda x: x.onset_s)


def kind_of(length_s: float) -> EventKind:
    """Micro or macro, by the time from onset to offset; boundaries are found to about a frame."""
    return "micro" if length_s <= MICRO_S + _TOLERANCE_S else "macro"


def score_of(excess: float) -> float:
    """How clearly a movement stands out, 0..1, from its peak over the threshold of its region."""
    return float(1 - np.exp(-max(excess - 1, 0.0)))


def threshold_of(region: str) -> float:
    """Displacement in IOD from which a region counts as moving; lids never do by themselves."""
    return _THRESHOLDS_IOD.get(region.split("_", maxsplit=1)[0], float("inf"))


def _thresholds(size: Float32Array, duration_s: float) -> Float32Array:
    """Threshold of each region, float32 [R] in IOD; lids never trigger by themselves."""
    base = np.array([threshold_of(name) for name in REGIONS], dtype=np.float32)
    # Low light: what the face does most of the time is noise. In a clip cut to one expression it is the expression.
    noise = np.median(size, axis=0) if duration_s >= 3 * MICRO_S else np.zeros(len(REGIONS))
    return np.asarray(np.maximum(base, _NOISE_FACTOR * noise), dtype=np.float32)


def _movements(size: Float32Array, thresholds: Float32Array) -> list[_Movement]:
    out: list[_Movement] = []
    for region, threshold in enumerate(thresholds):
        above = np.flatnonzero(np.diff(np.concatenate(([0], (size[:, region] > threshold).view(np.int8), [0]))))
        for start, stop in zip(above[::2], above[1::2], strict=True):
            out += _split(size[:, region], region, int(start), int(stop), float(threshold))
    return out


def _split(y: Float32Array, region: int, start: int, stop: int, threshold: float) -> list[_Movement]:
    """One movement per summit: a run is cut at its lowest inner point where both sides rise well above it."""
    apex = start + int(np.argmax(y[start:stop]))
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
            cut = min(low + other, apex) + int(np.argmin(inner))
            return _split(y, region, start, cut, threshold) + _split(y, region, cut + 1, stop, threshold)
    return [_Movement(region, start, apex, stop, float(y[apex]) / threshold)] if stop > start else []


def _group(movements: list[_Movement]) -> list[list[_Movement]]:
    """What moves at the same time is one event, led by its strongest region."""
    groups: list[list[_Movement]] = []
    for movement in sorted(movements, key=lambda m: -m.excess):
        for group in groups:
            lead = group[0]
            overlap = min(lead.stop, movement.stop) - max(lead.start, movement.start)
            if overlap >= _SAME_SHARE * min(lead.stop - lead.start, movement.stop - movement.start):
                group.append(movement)
                break
        else:
            groups.append([movement])
    return groups


def _interval(
    group: list[_Movement],
    grid: Float64Array,
    size: Float32Array,
    thresholds: Float32Array,
    signal: MotionSignal,
) -> Interval | None:
    lead = group[0]
    members = sorted({m.region for m in group}, key=lambda r: -float(size[lead.apex, r] / thresholds[r]))
    wave = (size[:, members] / thresholds[members]).sum(axis=1)
    onset, apex, offset = _boundaries(wave, min(m.start for m in group), max(m.stop for m in group))
    step = float(grid[1] - grid[0])
    onset_s, apex_s, offset_s = (float(grid[0] + x * step) for x in (onset, apex, offset))
    length = offset_s - onset_s
    window = slice(int(onset), int(offset) + 2)
    peak = float(size[window, members].max())
    during = (signal.times_s >= onset_s) & (signal.times_s <= offset_s)
    if (
        not _SHORTEST_S <= length <= MACRO_S
        or _is_blink(size[window], peak)
        or (during.any() and float(np.mean(signal.unsteady[during])) > _UNSTEADY_SHARE)
    ):
        return None
    frames = [int(signal.frames[np.argmin(np.abs(signal.times_s - t))]) for t in (onset_s, apex_s, offset_s)]
    return Interval(
        kind=kind_of(length),
        onset_frame=frames[0],
        apex_frame=frames[1],
        offset_frame=frames[2],
        onset_s=onset_s,
        apex_s=apex_s,
        offset_s=offset_s,
        peak_iod=peak,
        score=score_of(lead.excess),
        regions=tuple(REGIONS[r] for r in members),
    )


def _is_blink(size: Float32Array, peak: float) -> bool:
    lids = float(size[:, list(LIDS)].max())
    return lids >= _BLINK_IOD and peak < _BLINK_SHARE * lids


def _boundaries(wave: Float32Array, start: int, stop: int) -> tuple[float, float, float]:
    """Onset, apex and offset of one movement in (fractional) grid samples."""
    apex = start + int(np.argmax(wave[start:stop]))
    floor = float(wave.min())
    height = float(wave[apex]) - floor
    onset = _foot(wave[apex::-1] - floor, height)
    offset = _foot(wave[apex:] - floor, height)
    return apex - onset, _summit(wave, apex), apex + offset


def _foot(fall: Float32Array, height: float) -> float:
    """Samples from the summit (`fall[0]`) to where the movement begins or ends."""
    lowest, end = float(fall[0]), len(fall) - 1
    for index, value in enumerate(fall):
        lowest = min(lowest, float(value))
        if value <= _FOOT_SHARE * height:
            half = int(np.argmax(fall[: index + 1] <= height / 2))
            beyond = index + _SINE_FOOT * (index - half)
            return float(min(beyond, end))
        if value > lowest + _RISE_AGAIN * height:
            return float(np.argmin(fall[:index]))
    return float(end)


def _summit(wave: Float32Array, apex: int) -> float:
    """Sub-sample position of the maximum, by a parabola through three samples."""
    if not 0 < apex < len(wave) - 1:
        return float(apex)
    before, here, after = (float(x) for x in wave[apex - 1 : apex + 2])
    bend = before - 2 * here + after
    return apex + (0.5 * (before - after) / bend if bend < 0 else 0.0)
