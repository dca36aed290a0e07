"""The figures of `bench.long_videos`: plain arithmetic on true and found events of many videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.scoring import Found, counts, matches, measures

KINDS = ("micro", "macro")
TIMES = ("onset_s", "apex_s", "offset_s")
CAUSES = ("turn", "light", "speech", "blink", "nothing")
"""What a false event is put down to: the first of these that went on at the time."""
_PAUSE_S = 1.6
"""The longest pause between the phrases of one spell of speech, and a little."""
_AROUND_S = 0.2
_BLINK_S = 0.23
_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Watched:
    """One video: its ground truth, and the events that each system found in it."""

    truth: Mapping[str, Any]
    found: Mapping[str, Sequence[Found]]

    @property
    def quiet(self) -> bool:
        """Whether there is no expression in it."""
        return not self.truth["events"]

    @property
    def minutes(self) -> float:
        """Its length."""
        return float(self.truth["duration_s"]) / 60


def system_scores(videos: Sequence[Watched], system: str) -> dict[str, Any]:
    """Everything about one system."""
    quiet = [video for video in videos if video.quiet]
    rates = sorted({video.truth["fps"] for video in videos})
    by_video = [_measured([video], system)["f1"] for video in videos if not video.quiet]
    return {
        "all": _measured(videos, system),
        **{kind: _measured(videos, system, kind) for kind in KINDS},
        "recall_by_true_kind": {kind: _recall(videos, system, kind) for kind in KINDS},
        "by_fps": {f"{fps:g}": _measured([v for v in videos if v.truth["fps"] == fps], system) for fps in rates},
        "f1_of_videos": quantiles(by_video) if by_video else None,
        "quiet": false_events(quiet, system) if quiet else None,
        "boundaries_ms": boundaries(videos, system),
    }


def _measured(videos: Sequence[Watched], system: str, kind: str | None = None) -> dict[str, Any]:
    """Counts and F1 over `videos`; of one `kind`, those that are of it against those that were told as it."""
    totals = np.zeros(3, np.int64)
    for video in videos:
        true, found = (
            [event for event in events if kind is None or event["kind"] == kind]
            for events in (video.truth["events"], video.found[system])
        )
        totals += counts(true, found)
    return measures(*(int(total) for total in totals))


def _recall(videos: Sequence[Watched], system: str, kind: str) -> dict[str, Any]:
    """How many of one true kind were found, as whatever."""
    hits = total = right = 0
    for video in videos:
        true, found = video.truth["events"], video.found[system]
        total += sum(event["kind"] == kind for event in true)
        own = [(i, j) for i, j in matches(true, found) if true[i]["kind"] == kind]
        hits += len(own)
        right += sum(found[j]["kind"] == kind for _, j in own)
    return {"events": total, "found": hits, "named_so": right, "recall": round(hits / total, 4) if total else None}


def false_events(videos: Sequence[Watched], system: str) -> dict[str, Any]:
    """False events in videos without an expression, a minute, by what went on, and how often that went on."""
    minutes = sum(video.minutes for video in videos)
    causes = Counter(cause(event, video.truth) for video in videos for event in video.found[system])
    return {
        "minutes": round(minutes, 2),
        "false": causes.total(),
        "per_minute": round(causes.total() / minutes, 3),
        "by_cause": {name: causes[name] for name in CAUSES},
        "most_in_a_video": max(len(video.found[system]) for video in videos),
    }


def cause(event: Found, truth: Mapping[str, Any]) -> str:
    """What went on during an event, or 0.2 s before or after it: the first of `CAUSES` that did."""
    going_on: dict[str, list[tuple[float, float]]] = {
        "turn": [(each["start_s"], each["end_s"]) for each in truth["head"].get("turns", ())],
        "light": [(each["start_s"], each["start_s"] + each["seconds"]) for each in truth.get("light_changes", ())],
        "speech": spells([(each["start_s"], each["end_s"]) for each in truth["speech"]]),
        "blink": [(each["start_s"], each["start_s"] + _BLINK_S) for each in truth["blinks"]],
    }
    first, last = event["onset_s"] - _AROUND_S, event["offset_s"] + _AROUND_S
    for name in CAUSES[:-1]:
        if any(start <= last and stop >= first for start, stop in going_on[name]):
            return name
    return CAUSES[-1]


def spells(phrases: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Phrases, in order, joined across the pauses of a speaker."""
    joined: list[tuple[float, float]] = []
    for start, stop in phrases:
        if joined and start - joined[-1][1] <= _PAUSE_S:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return joined


def boundaries(videos: Sequence[Watched], system: str) -> dict[str, Any] | None:
    """Found minus true onset, apex and offset of matched events, in ms; an apex within the hold has none."""
    errors = np.array(
        [
            [1e3 * _error(true[i], found[j], name) for name in TIMES]
            for video in videos
            for true, found in [(video.truth["events"], video.found[system])]
            for i, j in matches(true, found)
        ]
    )
    if not len(errors):
        return None
    return {
        name: {
            "median": round(float(np.median(each)), 1),
            "median_absolute": round(float(np.median(np.abs(each))), 1),
            "p95_absolute": round(float(np.quantile(np.abs(each), 0.95)), 1),
        }
        for name, each in zip(TIMES, errors.T, strict=True)
    }


def _error(true: Found, found: Found, name: str) -> float:
    held_s = true.get("hold_s", 0.0) if name == "apex_s" else 0.0
    return float(found[name] - min(max(found[name], true[name]), true[name] + held_s))


def agreement(videos: Sequence[Watched], one: str, other: str) -> dict[str, Any]:
    """How far two systems tell the same: events that both found, of all that either did, and how near they are."""
    pairs = either = 0
    near: Counter[str] = Counter()
    for video in videos:
        found, told = video.found[one], video.found[other]
        tolerance_s = (_FRAMES + 0.01) / video.truth["fps"]
        matched = matches(found, told)
        pairs += len(matched)
        either += len(found) + len(told) - len(matched)
        for i, j in matched:
            close = {name: abs(found[i][name] - told[j][name]) <= tolerance_s for name in TIMES}
            near.update(name for name in TIMES if close[name])
            near["all"] += all(close.values())
            near["kind"] += found[i]["kind"] == told[j]["kind"]
    return {
        "either": either,
        "both": pairs,
        "share": round(pairs / either, 4) if either else None,
        "within_2_frames": {name: round(near[name] / pairs, 4) if pairs else None for name in (*TIMES, "all")},
        "same_kind": round(near["kind"] / pairs, 4) if pairs else None,
    }


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Least, quartiles and most."""
    names = ("least", "lower_quartile", "median", "upper_quartile", "most")
    return {
        name: round(float(np.quantile(values, q)), 4) for name, q in zip(names, (0, 0.25, 0.5, 0.75, 1), strict=True)
    }
