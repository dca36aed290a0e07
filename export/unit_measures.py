"""How well a network tells which action units moved: F1 by unit where that is known, ranks where only the class is.

Every side of a sample is a decision of its own: a unit is said to move a side from a probability of .5.
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
    """One unit, over all sides of all samples: how many it moved, and precision, recall and F1 of the decisions.

    Precision and recall without any case are 0; F1 is 0 where there is neither a case nor a decision.
    """

    unit: int
    sides: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class UnitMeasures:
    """`units` in their order, and the mean F1 over the `COMMON_UNITS` that move most sides."""

    samples: int
    mean_f1: float
    units: tuple[UnitScore, ...]

    def summary(self) -> dict[str, Any]:
        """JSON-able, four decimals."""
        return {
            "samples": self.samples,
            "mean_f1": round(self.mean_f1, 4),
            "units": {
                str(score.unit): {
                    "sides": score.sides,
                    "precision": round(score.precision, 4),
                    "recall": round(score.recall, 4),
                    "f1": round(score.f1, 4),
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
    hits, answered, sides = ((said & shown).sum((0, 1)), said.sum((0, 1)), shown.sum((0, 1)))
    f1 = 2 * hits / np.maximum(answered + sides, 1)
    commonest = np.argsort(-sides, kind="stable")[:COMMON_UNITS]
    scores = zip(units, sides, hits / np.maximum(answered, 1), hits / np.maximum(sides, 1), f1, strict=True)
    return UnitMeasures(
        samples=int(known.sum()),
        mean_f1=float(f1[commonest].mean()),
        units=tuple(UnitScore(unit, int(n), float(p), float(r), float(f)) for unit, n, p, r, f in scores),
    )


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
