"""Found events against true ones: who matches whom, and what follows from it.

An event is a mapping with onset_s, apex_s and offset_s. A found one counts where it overlaps a true one by at least
half of both together (intersection over union, MEGC 2020), one to one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

IOU = 0.5

Found: TypeAlias = Mapping[str, Any]


def iou(one: Found, other: Found) -> float:
    """Intersection over union of two intervals, 0..1."""
    overlap = min(one["offset_s"], other["offset_s"]) - max(one["onset_s"], other["onset_s"])
    union = max(one["offset_s"], other["offset_s"]) - min(one["onset_s"], other["onset_s"])
    return float(max(overlap, 0.0) / union) if union > 0 else 0.0


def matches(true: Sequence[Found], found: Sequence[Found]) -> list[tuple[int, int]]:
    """Pairs of indices of `true` and `found`, one to one, best overlap first."""
    pairs = [(iou(one, other), i, j) for i, one in enumerate(true) for j, other in enumerate(found)]
    taken: set[tuple[str, int]] = set()
    matched = []
    for overlap, i, j in sorted(pairs, reverse=True):
        if overlap >= IOU and ("true", i) not in taken and ("found", j) not in taken:
            taken |= {("true", i), ("found", j)}
            matched.append((i, j))
    return matched


def counts(true: Sequence[Found], found: Sequence[Found]) -> tuple[int, int, int]:
    """True positives, false positives and false negatives."""
    hits = len(matches(true, found))
    return hits, len(found) - hits, len(true) - hits


def measures(tp: int, fp: int, fn: int) -> dict[str, Any]:
    """The counts with precision, recall and F1; None where they are not defined."""
    return {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "precision": round(tp / (tp + fp), 4) if tp + fp else None,
        "recall": round(tp / (tp + fn), 4) if tp + fn else None,
        "f1": round(2 * tp / (2 * tp + fp + fn), 4) if tp + fp + fn else None,
    }
