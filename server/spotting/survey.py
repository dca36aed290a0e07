"""What spotting saw besides expressions: how far each region is from rest, and why other movements are none of them.

Nothing here decides: `server.spotting.intervals.spot` does, by the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from server.spotting.baseline import runs
from server.spotting.causes import BLINK_IOD, Scene
from server.spotting.intervals import (
    MACRO_S,
    MICRO_S,
    STILL_IOD,
    Seen,
    Span,
    Verdict,
    boundaries,
    interval_of,
    look_at,
    span_of,
    verdict_on,
)
from server.spotting.movements import Movement, group, movements_in
from server.spotting.signal import LIDS, REGIONS, MotionSignal
from server.types import Float32Array, Float64Array, Interval

Dismissal: TypeAlias = Literal["blink", "cut", "head-turn", "speech", "unsupported"]
_MOST = 500
_TOLD: Mapping[Verdict, Dismissal] = {
    "blink": "blink",
    "cut": "cut",
    "head-turn": "head-turn",
    "unsupported": "unsupported",
}
_LID_REGIONS = [region for region, is_lid in enumerate(LIDS) if is_lid]


@dataclass(frozen=True, slots=True)
class Survey:
    """`ways_iod` float32 [T, regions] is how far each region is from rest at the T times of the signal, as `spot` sees
    it, NaN where the face is not steady. `dismissed` are movements with what explains them, in order of onset.
    """

    ways_iod: Float32Array
    dismissed: list[tuple[Interval, Dismissal]]


def survey(signal: MotionSignal) -> Survey:
    """What a stretch of at least two frames shows.

    Of what was dismissed only movements are listed that are as large and as long as an expression, and that are not
    part of a clearer one; where there are more than 500 of them, the largest.
    """
    ways = np.full((len(signal.times_s), len(REGIONS)), np.nan, np.float32)
    seen = look_at(signal)
    if seen is None:
        return Survey(ways, [])
    scene = seen.scene
    steady = ~signal.unsteady
    ways[steady] = scene.ways[_nearest(scene.grid_s, signal.times_s[steady])]
    dismissed = [(interval_of(span, scene), why) for span, why in _dismissed(seen)]
    largest = sorted(dismissed, key=lambda each: -each[0].peak_iod)[:_MOST]
    return Survey(ways, sorted(largest, key=lambda each: each[0].onset_s))


def _nearest(grid_s: Float64Array, times_s: Float64Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    places = np.rint((times_s - grid_s[0]) / (grid_s[1] - grid_s[0])).astype(np.int64)
    return np.asarray(np.clip(places, 0, len(grid_s) - 1))


def _dismissed(seen: Seen) -> list[tuple[Span, Dismissal]]:
    scene = seen.scene
    found: list[tuple[Span, Dismissal]] = [(span, "blink") for span in _blinks(scene)]
    blinks = len(found)
    spans = [span_of(together, scene) for together in group(seen.moving)]
    for span in spans:
        why = _TOLD.get(verdict_on(span, scene))
        known = why == "blink" and any(_overlap(span, blink) for blink, _ in found[:blinks])
        if why is not None and not known:
            found.append((span, why))
    aside: list[tuple[list[Movement], Dismissal]] = [(seen.spoken, "speech"), (_in_doubt(seen), "head-turn")]
    for movements, cause in aside:
        others = [span_of(together, scene) for together in group(movements)]
        found += [(span, cause) for span in others if _tells(span) and not _within(span, spans)]
    return found


def _tells(span: Span) -> bool:
    return span.peak_iod >= STILL_IOD and span.moments_s[2] - span.moments_s[0] <= MACRO_S


def _overlap(one: Span, other: Span) -> bool:
    return one.moments_s[0] < other.moments_s[2] and other.moments_s[0] < one.moments_s[2]


def _within(span: Span, others: list[Span]) -> bool:
    """Whether the apex of `span` lies inside one of `others`."""
    return any(other.moments_s[0] <= span.moments_s[1] <= other.moments_s[2] for other in others)


def _in_doubt(seen: Seen) -> list[Movement]:
    """What would have counted as movement if the head had not turned."""
    scene = seen.scene
    counted = scene.size > scene.thresholds
    moved = movements_in(scene.ways, scene.thresholds)
    return [each for each in moved if not counted[each.start : each.stop, each.region].any()]


def _blinks(scene: Scene) -> list[Span]:
    """Each time that an eye closed and opened again. Lids trigger no event, so that no verdict would tell of it."""
    lowest = scene.lowered.max(axis=1)
    found = []
    _, starts, stops = runs((lowest > BLINK_IOD / 2)[:, None])
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        peaks = scene.lowered[start:stop].max(axis=0)
        if float(peaks.max()) >= BLINK_IOD:
            span = _closed(scene, start, stop, peaks)
            if span.moments_s[2] - span.moments_s[0] <= MICRO_S:
                found.append(span)
    return found


def _closed(scene: Scene, start: int, stop: int, peaks_iod: Float32Array) -> Span:
    """The bounds of a blink: lids are low from sample `start` to `stop`, at most by `peaks_iod` float32 [lids]."""
    onset, apex, offset = boundaries(scene.lowered.max(axis=1), start, stop)
    grid, step = scene.grid_s, float(scene.grid_s[1] - scene.grid_s[0])
    onset_s, apex_s, offset_s = (float(grid[0] + x * step) for x in (onset, apex, offset))
    order = np.argsort(-peaks_iod).tolist()
    members = [_LID_REGIONS[lid] for lid in order if peaks_iod[lid] >= BLINK_IOD]
    peak = float(peaks_iod.max())
    excess = np.zeros(len(LIDS), np.float32)
    return Span(members, excess, 0.0, (onset_s, apex_s, offset_s), slice(int(onset), int(offset) + 2), peak, peak)
