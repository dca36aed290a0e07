"""Intervals whose onset or apex the caller knows: only what is missing is spotted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from server.errors import FaceLost, OptionError
from server.spotting.baseline import regular
from server.spotting.intervals import MACRO_S, MICRO_S, kind_of, score_of, spot, threshold_of
from server.spotting.signal import LIDS, REGIONS, MotionSignal
from server.types import Interval

_RETURNED_SHARE = 0.33
_LONGEST_GAP_S = 0.25


def given(signal: MotionSignal, onset_s: float | None, apex_s: float | None, duration_s: float) -> Interval:
    """The event that the caller points at.

    With both times only the offset is sought; with the onset alone, the apex is where the face is farthest from it
    (apex spotting by largest motion); with the apex alone, the onset is that of the movement
    found there, or half a micro-expression earlier where none stands out. The offset is where the face has come back
    most of the way, at the latest four seconds after the onset.

    Args:
        signal: motion of the face, at least two frames; times in seconds of the clip.
        onset_s: given onset, or None.
        apex_s: given apex, or None. At least one of the two is given.
        duration_s: length of the clip, for the messages.

    Raises:
        OptionError: a time outside the clip, or an apex that is not after the onset.
        FaceLost: the face is not in view at a given time.
    """
    for option, value in (("onset_s", onset_s), ("apex_s", apex_s)):
        if value is not None and not 0 <= value <= duration_s:
            raise OptionError(f"{option} is {value:g} s, but the clip lasts {duration_s:.3f} s", option=option)
        if value is not None and float(np.abs(signal.times_s - value).min()) > _LONGEST_GAP_S:
            raise FaceLost(f"the face is not in view at {option} = {value:g} s", stage="faces", at_s=value)
    if apex_s is not None and onset_s is None:
        onset_s = _onset_before(spot(signal), apex_s, float(signal.times_s[0]))
    assert onset_s is not None
    first = _nearest(signal, onset_s)
    away = _distance_from(signal, first)
    if apex_s is None:
        last = int(np.searchsorted(signal.times_s, signal.times_s[first] + MACRO_S))
        apex = first + int(np.argmax(away[first:last]))
    else:
        apex = _nearest(signal, apex_s)
    if apex <= first:
        raise OptionError(
            f"the apex must be at least one frame after the onset: onset_s is {onset_s:g}, "
            f"the apex is at {signal.times_s[apex]:g} s",
            option="apex_s",
        )
    last = int(np.searchsorted(signal.times_s, signal.times_s[first] + MACRO_S, side="right"))
    below = np.flatnonzero(away[apex:last] < _RETURNED_SHARE * away[apex])
    offset = apex + int(below[0]) if len(below) else max(min(last, len(away)) - 1, apex)
    return _as_interval(signal, first, apex, offset)


def _onset_before(events: Sequence[Interval], apex_s: float, earliest_s: float) -> float:
    around = [e.onset_s for e in events if e.onset_s < apex_s <= e.offset_s]
    return around[0] if around else max(apex_s - MICRO_S / 2, earliest_s)


def _nearest(signal: MotionSignal, time_s: float) -> int:
    return int(np.argmin(np.abs(signal.times_s - time_s)))


def _distance_from(signal: MotionSignal, index: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Largest regional distance from the face at `index`, lids aside, float32 [T] in IOD."""
    grid, smooth = regular(signal.times_s, signal.displacement)
    step = grid[1] - grid[0]
    displacement = smooth[np.clip(np.rint((signal.times_s - grid[0]) / step).astype(int), 0, len(grid) - 1)]
    away = np.linalg.norm(displacement - displacement[index], axis=-1)
    return np.asarray(away[:, ~np.array(LIDS)].max(axis=1), dtype=np.float32)


def _as_interval(signal: MotionSignal, onset: int, apex: int, offset: int) -> Interval:
    times = [float(signal.times_s[x]) for x in (onset, apex, offset)]
    size = np.linalg.norm(signal.displacement[apex] - signal.displacement[onset], axis=-1)
    excess = size / np.array([threshold_of(name) for name in REGIONS])
    order = [r for r in np.argsort(-excess) if not LIDS[r]]
    return Interval(
        kind=kind_of(times[2] - times[0], float(np.median(np.diff(signal.times_s)))),
        onset_frame=int(signal.frames[onset]),
        apex_frame=int(signal.frames[apex]),
        offset_frame=int(signal.frames[offset]),
        onset_s=times[0],
        apex_s=times[1],
        offset_s=times[2],
        peak_iod=float(size[order[0]]),
        score=score_of(float(excess[order[0]])),
        regions=tuple(REGIONS[r] for r in order if excess[r] > 1),
    )
