"""A comparison as tables for people and as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from server.compare.agreement import Agreement, Cell, Comparison
from server.compare.kappa import Kappa


@dataclass(frozen=True, slots=True)
class Table:
    """One table, with its title."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain, JSON-able data."""
    return asdict(comparison)


def tables_of(comparison: Comparison) -> Iterator[Table]:
    """What there is to tell: clips and all of them, moments, classes, frames, action units."""
    pooled = comparison.pooled
    yield Table(
        f"Events matched one to one at IoU {comparison.least_iou:g} or more",
        ("clip", "machine", "human", "matched", "precision", "recall", "F1", "mean IoU", "kappa class", "kappa time"),
        [_clip(clip.clip or "clip", clip) for clip in comparison.clips] + [_clip("all", pooled)],
    )
    yield Table(
        "Machine less human, matched events",
        ("moment", "events", "median ms", "interquartile range ms"),
        [
            (moment, str(found.matched), _ms(found.median_s), _ms(found.iqr_s))
            for moment, found in pooled.differences.items()
        ],
    )
    yield _cells("Classes of matched events (rows: machine, columns: human)", pooled.classes)
    yield _cells("Classes of frames (rows: machine, columns: human)", pooled.frames)
    yield Table(
        "Action units in matched events",
        ("unit", "both", "machine only", "human only", "neither", "kappa"),
        [
            (f"AU {u.au}", str(u.both), str(u.machine_only), str(u.human_only), str(u.neither), _number(u.kappa.value))
            for u in pooled.units
        ],
    )


def undefined_of(comparison: Comparison) -> list[str]:
    """Why figures of all clips together are not defined."""
    pooled = comparison.pooled
    named: list[tuple[str, Kappa]] = [("kappa class", pooled.class_kappa), ("kappa time", pooled.frame_kappa)]
    named += [(f"kappa AU {unit.au}", unit.kappa) for unit in pooled.units]
    return [f"{name} is not defined: {kappa.undefined}" for name, kappa in named if kappa.value is None]


def _clip(name: str, agreement: Agreement) -> tuple[str, ...]:
    found = agreement.spotting
    return (
        name,
        str(found.matched + found.machine_only),
        str(found.matched + found.human_only),
        str(found.matched),
        *(_number(value) for value in (found.precision, found.recall, found.f1, found.mean_iou)),
        _number(agreement.class_kappa.value),
        _number(agreement.frame_kappa.value),
    )


def _cells(title: str, cells: Sequence[Cell]) -> Table:
    names = sorted({cell.machine for cell in cells} | {cell.human for cell in cells})
    counts = {(cell.machine, cell.human): cell.count for cell in cells}
    rows = [(ours, *(str(counts.get((ours, theirs), 0)) for theirs in names)) for ours in names]
    return Table(title, ("class", *names), rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.1f}"
