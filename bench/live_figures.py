"""Arithmetic of `bench.live`: what belongs together, how late it was told, how much memory grew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Span = Mapping[str, Any]
"""Anything with `onset_s`, `apex_s` and `offset_s`."""

CANDIDATE_S, CANDIDATE_FRAMES = 0.060, 2
EVENT_S, EVENT_FRAMES = 0.100, 3
COMPUTING_FRAMES = 2
GROWTH = 0.05
LAG_P99_S = 0.200


@dataclass(frozen=True)
class Delay:
    """How late one step of one true event was told.

    `total_s` is from the true moment to the arrival of the answer, `due_s` from the true moment to the capture of the
    frame with which it could be told at the earliest (None where that is not known); `rate` the frames per second.
    """

    step: str
    total_s: float
    due_s: float | None
    rate: float

    @property
    def computing_frames(self) -> float | None:
        """From the capture of the frame that decided to the arrival of the answer, in frames."""
        return None if self.due_s is None else (self.total_s - self.due_s) * self.rate


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` of `values` do not pass, which is one of them; None of none."""
    return float(np.quantile(values, share, method="higher")) if len(values) else None


def matched(true: Sequence[Span], found: Sequence[Span]) -> dict[int, int]:
    """For each true event the found one that overlaps it most, by their places; one to one, best overlap first.

    Any overlap counts: to leave out the badly placed would make the delays of the rest look better.
    """
    pairs = sorted(
        ((_overlap(one, other), i, j) for i, one in enumerate(true) for j, other in enumerate(found)), reverse=True
    )
    taken: dict[int, int] = {}
    for overlap, i, j in pairs:
        if overlap > 0 and i not in taken and j not in taken.values():
            taken[i] = j
    return taken


def movements(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The movements that ended as events: onset, apex and offset of the event, and when each step was told, `at_s`."""
    told: dict[int, dict[str, float]] = {}
    ended = []
    for step in steps:
        times = told.setdefault(step["movement"], {})
        times[step["step"]] = step["at_s"]
        if step["step"] == "event":
            ended.append({**{name: step[name] for name in ("onset_s", "apex_s", "offset_s")}, "at_s": times})
    return ended


def delays(
    true: Sequence[Span], told: Sequence[Mapping[str, Any]], due: Sequence[Mapping[str, Any]], rate: float
) -> list[Delay]:
    """Of each candidate and each event of a stream that is about a true event.

    `told` are the steps with the times at which they arrived, on the clock of the stream, `due` the same steps with
    the capture times of the frames with which they were decided.
    """
    ended, decided = movements(told), movements(due)
    early = matched(true, decided)
    found = []
    for i, j in matched(true, ended).items():
        for step, moment in (("candidate", "apex_s"), ("event", "offset_s")):
            at_s = ended[j]["at_s"].get(step)
            if at_s is None:
                continue
            when = decided[early[i]]["at_s"].get(step) if i in early else None
            since = float(true[i][moment])
            found.append(Delay(step, at_s - since, None if when is None else when - since, rate))
    return found


def bound_s(step: str, rate: float) -> float:
    """The latest that a step may be told after its true moment."""
    if step == "candidate":
        return max(CANDIDATE_S, CANDIDATE_FRAMES / rate)
    return max(EVENT_S, EVENT_FRAMES / rate)


def growth(samples: Sequence[tuple[float, float]], minute_s: float = 60.0) -> float | None:
    """Growth of memory: the median of the last minute against that of the second, as a share of it.

    `samples` are seconds since the beginning and bytes. None where there are no three minutes.
    """
    if not samples or samples[-1][0] < 3 * minute_s - 1e-9:
        return None
    end = samples[-1][0]
    second = [size for at, size in samples if minute_s <= at < 2 * minute_s]
    last = [size for at, size in samples if at >= end - minute_s]
    return float(np.median(last) / np.median(second)) - 1


def _overlap(one: Span, other: Span) -> float:
    """Intersection over union."""
    shared = min(one["offset_s"], other["offset_s"]) - max(one["onset_s"], other["onset_s"])
    whole = max(one["offset_s"], other["offset_s"]) - min(one["onset_s"], other["onset_s"])
    return max(shared, 0.0) / whole if whole > 0 else 0.0
