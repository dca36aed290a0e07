"""How well a network tells which action units moved: F1 by unit where that is known, ranks where only the class is.

A unit is said to move a side from a score of .5. It counts once for a sample, by its stronger side, as a report lists
it; whether the side is right is a measure of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.labels import LABELS
from export.losses import VISIBLE
from export.synthesis.action_units import BLINK, GAZE, UNITS
from server.errors import InputError
from server.types import Float32Array

THRESHOLD = 0.5
COMMON_UNITS = 12
_TOP = 2
_EXPECTED: Mapping[str, tuple[int, ...]] = {"positive": (12,), "surprise": (1, 2)}
"""Units that a class nearly always shows: the lip corner puller; the inner and the outer brow raiser."""


@dataclass(frozen=True, slots=True)
class UnitScore:
    """One unit: in how many samples it moved, precision, recall and F1, and the F1 of its sides as decisions each.

    Precision and recall without any case are 0; F1 is 0 where there is neither a case nor a decision.
    """

    unit: int
    shown: int
    precision: float
    recall: float
    f1: float
    side_f1: float


@dataclass(frozen=True, slots=True)
class UnitMeasures:
    """`units` in their order; mean F1 over the `COMMON_UNITS` that most samples show, without blinks and gaze."""

    samples: int
    mean_f1: float
    mean_side_f1: float
    units: tuple[UnitScore, ...]

    def summary(self) -> dict[str, Any]:
        """JSON-able, four decimals."""
        return {
            "samples": self.samples,
            "mean_f1": round(self.mean_f1, 4),
            "mean_side_f1": round(self.mean_side_f1, 4),
            "units": {
                str(score.unit): {
                    "shown": score.shown,
                    "precision": round(score.precision, 4),
                    "recall": round(score.recall, 4),
                    "f1": round(score.f1, 4),
                    "side_f1": round(score.side_f1, 4),
                }
                for score in self.units
            },
        }


@dataclass(frozen=True, slots=True)
class RankMeasure:
    """Share of the `samples` of class `label` in which one of `units` is among the two most probable units."""

    label: str
    units: tuple[int, ...]
    samples: int
    share: float

    def summary(self) -> dict[str, Any]:
        """JSON-able, four decimals."""
        return {
            "label": self.label,
            "units": list(self.units),
            "samples": self.samples,
            "first_or_second": round(self.share, 4),
        }


def measure_units(
    probabilities: Float32Array, strengths: Float32Array, units: Sequence[int] = UNITS
) -> UnitMeasures | None:
    """F1 of `probabilities` float32 [N, 2, units] for `strengths` [N, 2, units], visible from `losses.VISIBLE` on.

    Samples whose strengths are not a number are not known and are left out; None where none is left. Raises
    `InputError` where the shapes differ from each other or from `units`.
    """
    if probabilities.shape != strengths.shape or probabilities.shape[2:] != (len(units),):
        raise InputError(
            f"action units [N, 2, {len(units)}] do not fit answers {list(probabilities.shape)} "
            f"and truth {list(strengths.shape)}"
        )
    known = ~np.isnan(strengths).any((1, 2))
    if not known.any():
        return None
    said, shown = probabilities[known] >= THRESHOLD, strengths[known] >= VISIBLE
    by_side = _Counts.of(said.reshape(-1, len(units)), shown.reshape(-1, len(units)))
    counts = _Counts.of(said.max(axis=1), shown.max(axis=1))
    ranked = [i for i in np.argsort(-counts.shown, kind="stable") if units[i] not in (BLINK, GAZE)]
    commonest = ranked[:COMMON_UNITS]
    return UnitMeasures(
        samples=int(known.sum()),
        mean_f1=float(counts.f1[commonest].mean()),
        mean_side_f1=float(by_side.f1[commonest].mean()),
        units=tuple(
            UnitScore(
                unit,
                int(counts.shown[i]),
                float(counts.hits[i] / max(counts.said[i], 1)),
                float(counts.hits[i] / max(counts.shown[i], 1)),
                float(counts.f1[i]),
                float(by_side.f1[i]),
            )
            for i, unit in enumerate(units)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Counts:
    """int64 [units] each."""

    hits: npt.NDArray[np.int64]
    said: npt.NDArray[np.int64]
    shown: npt.NDArray[np.int64]

    @classmethod
    def of(cls, said: npt.NDArray[np.bool_], shown: npt.NDArray[np.bool_]) -> _Counts:
        return cls((said & shown).sum(0), said.sum(0), shown.sum(0))

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        f1: npt.NDArray[np.float64] = 2 * self.hits / np.maximum(self.said + self.shown, 1)
        return f1


def rank_units(
    probabilities: Float32Array, labels: npt.NDArray[np.int64], units: Sequence[int] = UNITS
) -> tuple[RankMeasure, ...]:
    """How often the units that a class nearly always shows rank first or second in `probabilities` [N, 2, units].

    The rank is that of the larger side; blinks and gaze are left out. `labels` int64 [N] into `LABELS`. A class
    without a sample, and one none of whose units the model knows, has no entry. Raises `InputError` where the units do
    not fit `probabilities`.
    """
    if probabilities.shape[1:] != (2, len(units)):
        raise InputError(f"action units {list(probabilities.shape)} are not [N, 2, {len(units)}]")
    columns = [i for i, unit in enumerate(units) if unit not in (BLINK, GAZE)]
    order = np.argsort(-probabilities.max(1)[:, columns], axis=1, kind="stable")[:, :_TOP]
    top = np.array([units[i] for i in columns])[order]
    measures = []
    for label, expected in _EXPECTED.items():
        rows = top[labels == LABELS.index(label)]
        if len(rows) and set(expected) & set(units):
            share = float(np.isin(rows, expected).any(1).mean())
            measures.append(RankMeasure(label, expected, len(rows), share))
    return tuple(measures)
