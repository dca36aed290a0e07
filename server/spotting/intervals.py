"""Regional motion to intervals: onset, apex and offset of every micro- and macro-expression of a whole clip.

After He (ACM MM 2021, and the code for MEGC 2024): a region moves when its displacement from rest passes a threshold
of 0.014 to 0.018 IOD; what moves together is one event. Boundaries are where the movement starts and ends, found by
following its rise down to a tenth and extrapolating the sin^2 shape that such movements have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from server.spotting.baseline import MAX_RATE_HZ, BoolArray, at_rest, lengths, regular
from server.spotting.causes import Cause, Scene, is_supported
from server.spotting.movements import Movement, group, movements_in
from server.spotting.signal import LIDS, REGIONS, MotionSignal
from server.spotting.speech import JAW, speech_in
from server.spotting.turning import doubts, without_turns
from server.types import EventKind, Float32Array, Interval

MICRO_S = 0.5
"""Longest micro-expression (Yan et al. 2013)."""
MACRO_S = 4.0
STILL_IOD = 0.012
"""Displacement below which a face counts as still: the first gate of He (MEGC 2024) in eye distances."""
_SHORTEST_S = 0.08
_TOLERANCE_S = 0.02

_THRESHOLDS_IOD = {"brow": 0.015, "cheek": 0.016, "nose": 0.018, "mouth": 0.014, "lip": 0.016, "chin": 0.018}
_NOISE_FACTOR = 4.0
_SLOW_S = 0.6
_SLOW_IOD = 0.03
"""What lasts longer than a micro-expression and is smaller than this is a head that turns, not a face that moves,
unless both sides of the face do it, where they are measured well: a turn shows one side and hides the other.
"""
_OTHER_SIDE = {
    REGIONS.index(name): REGIONS.index(name.replace("left", "right"))
    for name in REGIONS
    if name in ("brow_inner_left", "nose_wing_left", "mouth_corner_left")
}
_CLEAN_FACTOR = 20.0
_CLEAN_SHARE = 0.6
_MOST_SHARE = {"mouth": 1.0, "lip": 1.0}
_MOST_SHARE_ELSEWHERE = 1.5
_SIDEWAYS = {"brow_outer": 0.3, "brow_middle": 0.5}
"""Brows rise and sink. Towards the temples a head that turns shifts them sideways, so that this counts less there."""
_WEIGHTS = np.ones((len(REGIONS), 2), np.float32)
_WEIGHTS[:, 0] = [_SIDEWAYS.get(name.rpartition("_")[0], 1.0) for name in REGIONS]
_QUIET_SHARE = 0.35
_FOOT_SHARE = 0.1
_SINE_FOOT = 0.5
"""On a sin^2 rise the start lies 0.69 of the way from the half to the tenth beyond the tenth; the low-pass lengthens
the foot, so that half of the way is taken."""
_SINE_QUARTER = 1.5
"""... and twice the way from the half to the quarter beyond the quarter; three quarters of that, since
codecs lengthen the tail: without one, onsets come late and offsets early by up to 8 ms (`python -m bench.spotting`)."""
_RISE_AGAIN = 0.33

Verdict: TypeAlias = Cause | Literal["length", "small", "unsupported"]


def spot(signal: MotionSignal, max_rate_hz: float = MAX_RATE_HZ, *, goes_on: bool = False) -> list[Interval]:
    """Every expression in a clip, in order of onset.

    Args:
        signal: displacement against the resting face; at least two frames.
        max_rate_hz: at how many samples per second it is looked at, at most.
        goes_on: more frames will come, as of a stream: a face that is elsewhere may be in an expression that lasts.

    Returns:
        Intervals with frames of the clip. None for a face at rest, for blinks and for what the head did.
    """
    seen = look_at(signal, max_rate_hz, goes_on=goes_on)
    if seen is None:
        return []
    spans = (span_of(event, seen.scene) for event in group(seen.moving))
    return _apart([interval_of(span, seen.scene) for span in spans if not verdict_on(span, seen.scene)])


@dataclass(frozen=True, slots=True)
class Seen:
    """What moved: `moving` may be expressions, `spoken` is explained by speech."""

    scene: Scene
    moving: list[Movement]
    spoken: list[Movement]


def look_at(signal: MotionSignal, max_rate_hz: float = MAX_RATE_HZ, *, goes_on: bool = False) -> Seen | None:
    """What moved how far, region by region; None where the face was not steady for two frames.

    Arguments as of `spot`.
    """
    steady = ~signal.unsteady
    if steady.sum() < 2:
        return None
    measured = np.concatenate([signal.displacement, signal.turn[:, None]], axis=1)
    grid, measured = regular(signal.times_s[steady], measured[steady], max_rate_hz)
    turn = measured[:, -1]
    displacement = without_turns(grid, measured[:, :-1], turn)
    levels, resting = at_rest(grid, displacement, turn, goes_on=goes_on)
    ways = lengths((displacement - levels) * _WEIGHTS)
    thresholds = _thresholds(ways, resting)
    doubt = doubts(grid, turn)
    # Thresholds and turns err independently of each other. What is in doubt counts less, as if it were smaller.
    size = ways / np.sqrt(1 + (doubt / thresholds) ** 2) if doubt.any() else ways
    # Syllables are far faster than turns, and a fit of turns to a mouth that speaks may blur them.
    speech = speech_in(grid, measured[:, :-1])
    jaw_moves = np.asarray(np.any(size[:, JAW] > thresholds[list(JAW)], axis=1))
    moving: list[Movement] = []
    spoken: list[Movement] = []
    for movement in movements_in(size, thresholds):
        time_s, moves = float(grid[movement.apex]), bool(jaw_moves[movement.start : movement.stop].any())
        (spoken if speech.explains(movement.region, time_s, jaw_moves=moves) else moving).append(movement)
    return Seen(Scene(grid, ways, size, thresholds, (displacement - levels)[:, list(LIDS), 1], signal), moving, spoken)


def _apart(intervals: list[Interval]) -> list[Interval]:
    """In order of onset, without those whose apex lies inside a clearer one: one face does one thing at a time.

    What merely touches is cut where the later one begins.
    """
    kept: list[Interval] = []
    onsets, offsets = (np.full(len(intervals), np.inf) for _ in range(2))
    for interval in sorted(intervals, key=lambda x: -x.score):
        if not bool(np.any((onsets <= interval.apex_s) & (interval.apex_s <= offsets))):
            onsets[len(kept)], offsets[len(kept)] = interval.onset_s, interval.offset_s
            kept.append(interval)
    kept.sort(key=lambda x: x.onset_s)
    cut = [
        replace(one, offset_s=next_one.onset_s, offset_frame=next_one.onset_frame)
        if one.apex_s < next_one.onset_s < one.offset_s
        else one
        for one, next_one in pairwise(kept)
    ]
    return [*cut, *kept[-1:]]


def kind_of(length_s: float, gap_s: float) -> EventKind:
    """Micro or macro, by the time from onset to offset, which is known to about `gap_s`, the time between frames."""
    return "micro" if length_s <= MICRO_S + _TOLERANCE_S + gap_s else "macro"


def moved(displacement: Float32Array) -> bool:
    """Whether any region but the lids is displaced (float32 [R, 2], IOD) by more than alignment and noise explain."""
    return float(np.linalg.norm(displacement, axis=-1)[~np.array(LIDS)].max()) >= STILL_IOD


def score_of(excess: float) -> float:
    """How clearly a movement stands out, 0..1, from its peak over the threshold of its region."""
    return float(1 - np.exp(-max(excess - 1, 0.0)))


def threshold_of(region: str) -> float:
    """Displacement in IOD from which a region counts as moving; lids never do by themselves."""
    return _THRESHOLDS_IOD.get(region.split("_", maxsplit=1)[0], float("inf"))


def _thresholds(size: Float32Array, resting: BoolArray) -> Float32Array:
    """Threshold of each region, float32 [R] in IOD; lids never trigger by themselves.

    A clean picture shows smaller movements than a noisy one, and a head that turns all the time moves the brows and the
    border of the face. So the threshold lies between a share of the usual one and all of it, there more, by how far the
    region is from rest in the quieter part of the clip; noise at rest, as in low light, raises it further.
    """
    base = np.array([threshold_of(name) for name in REGIONS], dtype=np.float32)
    most = np.array([_MOST_SHARE.get(name.split("_")[0], _MOST_SHARE_ELSEWHERE) for name in REGIONS], dtype=np.float32)
    usual = np.clip(_CLEAN_FACTOR * np.quantile(size, _QUIET_SHARE, axis=0), _CLEAN_SHARE * base, most * base)
    return np.asarray(np.maximum(usual, _NOISE_FACTOR * _medians(size, resting)), dtype=np.float32)


def _medians(size: Float32Array, resting: BoolArray) -> Float32Array:
    """Median over the samples at rest of each region, float32 [R]; 0 where there are none."""
    ranked = np.sort(np.where(resting, size, np.inf), axis=0)
    counts = resting.sum(axis=0)
    middle = np.stack([np.maximum(counts - 1, 0) // 2, counts // 2])
    both = np.take_along_axis(ranked, np.minimum(middle, len(size) - 1), axis=0)
    return np.where(counts > 0, both.mean(axis=0), 0).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Span:
    """What moved together, from when to when. `members` are regions, strongest first, and `excess` float32 [R] how far
    each region is beyond its threshold at the apex of the strongest movement, whose own is `strongest`; `moments_s` are
    onset, apex and offset, between which the samples of `window` lie. `peak_iod` is the largest displacement, and
    `clear_iod` what of it no turn of the head puts in doubt.
    """

    members: list[int]
    excess: Float32Array
    strongest: float
    moments_s: tuple[float, float, float]
    window: slice
    peak_iod: float
    clear_iod: float


def span_of(together: list[Movement], scene: Scene) -> Span:
    """The bounds of movements that are one event, the strongest first."""
    grid, size = scene.grid_s, scene.size
    lead = together[0]
    excess = size[lead.apex] / scene.thresholds
    members = sorted({m.region for m in together}, key=lambda r: -float(excess[r]))
    wave = (scene.ways[:, members] / scene.thresholds[members]).sum(axis=1)
    step = float(grid[1] - grid[0])
    start, stop = min(m.start for m in together), max(m.stop for m in together)
    onset, apex, offset = boundaries(wave, start, stop)
    onset_s, apex_s, offset_s = (float(grid[0] + x * step) for x in (onset, apex, offset))
    window = slice(int(onset), int(offset) + 2)
    peak, clear = (float(x[window, members].max()) for x in (scene.ways, size))
    return Span(members, excess, lead.excess, (onset_s, apex_s, offset_s), window, peak, clear)


def verdict_on(span: Span, scene: Scene) -> Verdict:
    """Why it is no expression; empty where it is one."""
    members, length = span.members, span.moments_s[2] - span.moments_s[0]
    if not _SHORTEST_S <= length <= MACRO_S:
        return "length"
    if length > _SLOW_S and span.clear_iod < _SLOW_IOD and not any(_OTHER_SIDE.get(r) in members for r in members):
        return "head-turn"
    if span.clear_iod < STILL_IOD:
        return "small"
    if not is_supported(span.excess, members):
        return "unsupported"
    return scene.cause_of(span.window, members, span.moments_s, span.peak_iod)


def interval_of(span: Span, scene: Scene) -> Interval:
    """The same in frames of the clip."""
    signal = scene.signal
    gap_s = float(np.median(np.diff(signal.times_s)))
    frames = [int(signal.frames[np.argmin(np.abs(signal.times_s - t))]) for t in span.moments_s]
    onset_s, apex_s, offset_s = span.moments_s
    return Interval(
        kind=kind_of(offset_s - onset_s, gap_s),
        onset_frame=frames[0],
        apex_frame=frames[1],
        offset_frame=frames[2],
        onset_s=onset_s,
        apex_s=apex_s,
        offset_s=offset_s,
        peak_iod=span.peak_iod,
        score=score_of(span.strongest),
        regions=tuple(REGIONS[r] for r in span.members),
    )


def boundaries(wave: Float32Array, start: int, stop: int) -> tuple[float, float, float]:
    """Onset, apex and offset of one movement in (fractional) grid samples."""
    apex = start + int(np.argmax(wave[start:stop]))
    floor = float(wave.min())
    height = float(wave[apex]) - floor
    onset = _foot(wave[apex::-1] - floor, height)
    offset = _foot(wave[apex:] - floor, height)
    return apex - onset, _summit(wave, apex), apex + offset


def _foot(fall: Float32Array, height: float) -> float:
    """Samples from the summit (`fall[0]`) to where the movement begins or ends."""
    lowest = np.minimum.accumulate(fall)
    again = np.flatnonzero(fall > lowest + _RISE_AGAIN * height)
    end = float(np.argmin(fall[: again[0]])) if len(again) else float(len(fall) - 1)
    half, quarter, foot = (_crossing(fall, share * height) for share in (0.5, 0.25, _FOOT_SHARE))
    if quarter is not None and half is not None:
        # A codec may hold a trace of the movement for long: the tail beyond what the quarter tells is not it.
        end = min(end, quarter + _SINE_QUARTER * (quarter - half))
        if foot is not None:
            end = min(end, foot + _SINE_FOOT * (foot - half))
    return end


def _crossing(fall: Float32Array, level: float) -> float | None:
    """Where `fall` first comes down to `level`, between samples; None where it never does."""
    below = np.flatnonzero(fall <= level)
    if not len(below):
        return None
    index = int(below[0])
    if index == 0:
        return 0.0
    before, after = float(fall[index - 1]), float(fall[index])
    return index - 1 + (before - level) / (before - after)


def _summit(wave: Float32Array, apex: int) -> float:
    """Sub-sample position of the maximum, by a parabola through three samples."""
    if not 0 < apex < len(wave) - 1:
        return float(apex)
    before, here, after = (float(x) for x in wave[apex - 1 : apex + 2])
    bend = before - 2 * here + after
    return apex + (0.5 * (before - after) / bend if bend < 0 else 0.0)
