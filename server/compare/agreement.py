"""Agreement of two annotations, by clip and of all clips together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from server.compare.classes import class_of
from server.compare.kappa import Kappa, Table, cohen_kappa
from server.compare.matching import Match, match_events
from server.compare.pairing import ClipPair
from server.compare.timelines import frame_table

MOMENTS = ("onset", "apex", "offset")


@dataclass(frozen=True, slots=True)
class Spotting:
    """Events that both have, and that one alone has. None where nothing is divided by nothing."""

    matched: int
    machine_only: int
    human_only: int
    precision: float | None
    recall: float | None
    f1: float | None
    mean_iou: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Machine less human over `matched` events, seconds; `iqr_s` from the first to the third quartile."""

    matched: int
    median_s: float | None
    iqr_s: float | None


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table of classes."""

    machine: str
    human: str
    count: int


@dataclass(frozen=True, slots=True)
class UnitAgreement:
    """Whether one action unit moved, in matched events in which both coded action units."""

    au: int
    both: int
    machine_only: int
    human_only: int
    neither: int
    kappa: Kappa


@dataclass(frozen=True, slots=True)
class Agreement:
    """One clip, or all of them. `class_kappa` is of the classes of matched events, `frame_kappa` of those of frames."""

    clip: str
    spotting: Spotting
    differences: Mapping[str, Difference]
    classes: Sequence[Cell]
    class_kappa: Kappa
    frames: Sequence[Cell]
    frame_kappa: Kappa
    units: Sequence[UnitAgreement]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`pooled` is of the sums of all counts, no mean of clips."""

    least_iou: float
    pooled: Agreement
    clips: Sequence[Agreement]
    notes: Sequence[str] = ()


@dataclass(slots=True)
class _Counts:
    matched: list[Match] = field(default_factory=list)
    machine: int = 0
    human: int = 0
    classes: Counter[tuple[str, str]] = field(default_factory=Counter)
    frames: Counter[tuple[str, str]] = field(default_factory=Counter)
    no_frames: str = ""

    def add(self, other: _Counts) -> None:
        self.matched += other.matched
        self.machine += other.machine
        self.human += other.human
        self.classes += other.classes
        self.frames += other.frames
        self.no_frames = self.no_frames or other.no_frames


def compare_clips(pairs: Sequence[ClipPair], least_iou: float = 0.5, notes: Sequence[str] = ()) -> Comparison:
    """How far the annotations of `pairs` agree; events are matched where their IoU is at least `least_iou`, 0 to 1.

    Raises as `match_events` and `frame_table` do.
    """
    counts = [_counts(pair, least_iou) for pair in pairs]
    total = _Counts()
    for one in counts:
        total.add(one)
    unseen = sum(bool(one.no_frames) for one in counts)
    told = [f"agreement over time leaves out {unseen} of {len(counts)} clips: {total.no_frames}"] if unseen else []
    # Models without action units report none of any event, which is no statement that none moved.
    sides = ([pair.machine for pair in pairs], [pair.human for pair in pairs])
    coded = all(any(event.action_units for clip in clips for event in clip.events) for clips in sides)
    return Comparison(
        least_iou,
        _agreement("", total, coded=coded),
        tuple(_agreement(pair.name, one, coded=coded) for pair, one in zip(pairs, counts, strict=True)),
        (*notes, *told),
    )


def _counts(pair: ClipPair, least_iou: float) -> _Counts:
    matched = match_events(pair.machine.events, pair.human.events, least_iou)
    frames, why = frame_table(pair)
    classes = Counter((class_of(match.machine), class_of(match.human)) for match in matched)
    return _Counts(matched, len(pair.machine.events), len(pair.human.events), classes, frames, why)


def _agreement(clip: str, counts: _Counts, *, coded: bool) -> Agreement:
    frame_kappa = cohen_kappa(counts.frames, "frames")
    if not counts.frames and counts.no_frames:
        frame_kappa = Kappa(None, None, 0, counts.no_frames)
    return Agreement(
        clip=clip,
        spotting=_spotting(counts),
        differences={moment: _difference(counts.matched, moment) for moment in MOMENTS},
        classes=_cells(counts.classes),
        class_kappa=cohen_kappa(counts.classes, "matched events"),
        frames=_cells(counts.frames),
        frame_kappa=frame_kappa,
        units=_units(counts.matched) if coded else (),
    )


def _spotting(counts: _Counts) -> Spotting:
    matched = len(counts.matched)
    return Spotting(
        matched=matched,
        machine_only=counts.machine - matched,
        human_only=counts.human - matched,
        precision=_share(matched, counts.machine),
        recall=_share(matched, counts.human),
        f1=_share(2 * matched, counts.machine + counts.human),
        mean_iou=_share(sum(match.iou for match in counts.matched), matched),
    )


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None


def _difference(matched: Sequence[Match], moment: str) -> Difference:
    pairs = [(getattr(match.machine, moment), getattr(match.human, moment)) for match in matched]
    found = [ours - theirs for ours, theirs in pairs if ours is not None and theirs is not None]
    if not found:
        return Difference(0, None, None)
    first, median, third = (float(value) for value in np.percentile(found, (25, 50, 75)))
    return Difference(len(found), median, third - first)


def _cells(table: Table) -> tuple[Cell, ...]:
    return tuple(Cell(machine, human, count) for (machine, human), count in sorted(table.items()))


def _units(matched: Sequence[Match]) -> tuple[UnitAgreement, ...]:
    coded = [
        (frozenset(unit.au for unit in ours), frozenset(unit.au for unit in theirs))
        for match in matched
        if (ours := match.machine.action_units) is not None and (theirs := match.human.action_units) is not None
    ]
    listed = sorted({au for pair in coded for units in pair for au in units})
    return tuple(_unit(au, Counter((au in ours, au in theirs) for ours, theirs in coded)) for au in listed)


def _unit(au: int, seen: Counter[tuple[bool, bool]]) -> UnitAgreement:
    words = {False: "absent", True: "present"}
    table = {(words[ours], words[theirs]): count for (ours, theirs), count in seen.items()}
    return UnitAgreement(
        au,
        seen[True, True],
        seen[True, False],
        seen[False, True],
        seen[False, False],
        cohen_kappa(table, "matched events with coded action units"),
    )
