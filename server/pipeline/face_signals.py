"""The motion of a face over a clip and what became of each movement, for whoever asks to see why."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from server.pipeline.facelog import FaceLog
from server.spotting.signal import REGIONS
from server.spotting.survey import survey
from server.types import Float32Array, Float64Array, Interval
from server.visuals import Candidate, CandidateOutcome, CandidateReason, FaceSignals

MOST_TIMES = 4000


def face_signals(
    log: FaceLog, reported: Iterable[Interval], unmeasured: Iterable[Interval], other_kinds: Iterable[Interval]
) -> FaceSignals:
    """The signals of one face, at 4,000 times at most.

    What was spotted is `reported`, `unmeasured` or of `other_kinds`; what spotting dismissed is found anew.
    """
    whole = log.signal()
    ways = np.full((len(log), len(REGIONS)), np.nan, np.float32)
    candidates = [_candidate(interval, "reported") for interval in reported]
    candidates += [_candidate(interval, "withdrawn", "unmeasured") for interval in unmeasured]
    candidates += [_candidate(interval, "other-kind", "kind") for interval in other_kinds]
    for stretch in log.signals():
        seen = survey(stretch)
        ways[np.searchsorted(whole.frames, stretch.frames)] = seen.ways_iod
        candidates += [_candidate(interval, "withdrawn", why) for interval, why in seen.dismissed]
    every = math.ceil(len(log) / MOST_TIMES)
    middles = np.minimum(np.arange(0, len(log), every) + every // 2, len(log) - 1)
    return FaceSignals(
        track_id=log.track_id,
        every=every,
        times_s=np.round(whole.times_s[middles], 4).tolist(),
        regions=REGIONS,
        motion_iod=_thinned(ways, every),
        transforms=_transforms(log.transforms()[middles]),
        candidates=sorted(candidates, key=lambda each: each.onset_s),
    )


def _thinned(ways_iod: Float32Array, every: int) -> list[list[float | None]]:
    """The largest of every `every` samples of float32 [T, R], region by region, so that no peak is lost."""
    padded = np.pad(ways_iod, ((0, -len(ways_iod) % every), (0, 0)), constant_values=np.nan)
    largest = np.fmax.reduce(padded.reshape(-1, every, ways_iod.shape[1]), axis=1)
    rounded = np.round(largest.T.astype(np.float64), 5)
    return [[None if math.isnan(value) else value for value in row] for row in rounded.tolist()]


def _transforms(matrices: Float64Array) -> list[tuple[float, float, float, float, float, float]]:
    a, b, c, d, e, f = np.round(matrices.reshape(-1, 6), 6).T.tolist()
    return list(zip(a, b, c, d, e, f, strict=True))


def _candidate(interval: Interval, outcome: CandidateOutcome, reason: CandidateReason = "") -> Candidate:
    return Candidate(
        kind=interval.kind,
        onset_s=round(interval.onset_s, 4),
        apex_s=round(interval.apex_s, 4),
        offset_s=round(interval.offset_s, 4),
        peak_iod=round(interval.peak_iod, 5),
        regions=interval.regions,
        outcome=outcome,
        reason=reason,
    )
