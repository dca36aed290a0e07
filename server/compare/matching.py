"""Pairs the events of two annotations one to one by how far they overlap in time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from server.annotation.types import AnnotationError, CodedEvent
from server.errors import ConfigurationError
from server.types import Float64Array

_MOST_PAIRS = 5_000_000
_ROUNDING = 1e-9
"""So that an overlap of exactly the bound counts, whatever the last bits of its times."""


@dataclass(frozen=True, slots=True)
class Match:
    """Two events that are taken for the same expression, and their intersection over union."""

    machine: CodedEvent
    human: CodedEvent
    iou: float


def interval_iou(one: CodedEvent, other: CodedEvent) -> float:
    """Intersection over union of two intervals of time, 0..1; 1 for two equal moments without length."""
    shared = min(one.offset, other.offset) - max(one.onset, other.onset)
    if shared < 0:
        return 0.0
    union = max(one.offset, other.offset) - min(one.onset, other.onset)
    return shared / union if union > 0 else 1.0


def match_events(machine: Sequence[CodedEvent], human: Sequence[CodedEvent], least_iou: float) -> list[Match]:
    """The assignment with the most pairs of at least `least_iou`, and of these the one with the largest sum of IoU.

    Events with different faces are never paired; one without a face may be paired with any. Among assignments that are
    equally good, the order of the events in the files decides nothing: they are put in the order of time, class and
    face first. Raises `AnnotationError` where more events overlap than can be told apart, and `ConfigurationError`
    where several events compete and the extra `compare` is not there.
    """
    ours, theirs = _ordered(machine), _ordered(human)
    possible = []
    for pair in _overlapping(ours, theirs):
        iou = interval_iou(ours[pair[0]], theirs[pair[1]])
        if iou >= least_iou - _ROUNDING:
            possible.append((*pair, iou))
        if len(possible) > _MOST_PAIRS:
            raise AnnotationError("more events overlap than can be matched")
    chosen = sorted(pair for group in _groups(possible) for pair in _assigned(group))
    return [Match(ours[i], theirs[j], iou) for i, j, iou in chosen]


_Possible = tuple[int, int, float]


def _ordered(events: Sequence[CodedEvent]) -> list[CodedEvent]:
    return sorted(events, key=lambda e: (e.onset, e.offset, e.label, -1 if e.track_id is None else e.track_id))


def _overlapping(ours: Sequence[CodedEvent], theirs: Sequence[CodedEvent]) -> Iterator[tuple[int, int]]:
    onsets = [event.onset for event in theirs]
    longest = max((event.offset - event.onset for event in theirs), default=0.0)
    looked_at = 0
    for i, one in enumerate(ours):
        first, last = bisect_left(onsets, one.onset - longest - _ROUNDING), bisect_right(onsets, one.offset)
        looked_at += last - first
        if looked_at > 10 * _MOST_PAIRS:
            raise AnnotationError("more events overlap than can be matched")
        for j in range(first, last):
            other = theirs[j]
            same_face = None in {one.track_id, other.track_id} or one.track_id == other.track_id
            if same_face and other.offset >= one.onset:
                yield i, j


def _groups(possible: Sequence[_Possible]) -> Iterator[list[_Possible]]:
    """Pairs that compete with each other, directly or through others."""
    root: dict[tuple[str, int], tuple[str, int]] = {}

    def find(node: tuple[str, int]) -> tuple[str, int]:
        while root.setdefault(node, node) != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for i, j, _ in possible:
        root[find(("machine", i))] = find(("human", j))
    groups: dict[tuple[str, int], list[_Possible]] = defaultdict(list)
    for pair in possible:
        groups[find(("machine", pair[0]))].append(pair)
    yield from groups.values()


def _assigned(group: Sequence[_Possible]) -> list[_Possible]:
    if len(group) == 1:
        return [*group]
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        message = (
            "to tell events apart that overlap several others needs the extra `compare`: pip install 'glimpse[compare]'"
        )
        raise ConfigurationError(message) from None
    ours, theirs = sorted({i for i, _, _ in group}), sorted({j for _, j, _ in group})
    if len(ours) * len(theirs) > _MOST_PAIRS:
        raise AnnotationError("more events overlap than can be matched")
    # One more pair is worth more than any sum of overlaps.
    worth: Float64Array = np.zeros((len(ours), len(theirs)))
    row, column = ({number: place for place, number in enumerate(side)} for side in (ours, theirs))
    known = {(row[i], column[j]): (i, j, iou) for i, j, iou in group}
    for place, (_, _, iou) in known.items():
        worth[place] = min(worth.shape) + 1 + iou
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return [known[place] for place in zip(rows.tolist(), columns.tolist(), strict=True) if place in known]
