"""Intervals of UF1 and UAR over subjects: who was recorded is the main reason why another data set scores otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.evaluation import Int64Array, confusion_matrix, measure

DRAWS = 1000
LEVEL = 0.95
SEED = 0


@dataclass(frozen=True, slots=True)
class Intervals:
    """Percentile intervals (low, high) of UF1 and UAR, and how many draws were repeated for want of a class."""

    uf1: tuple[float, float]
    uar: tuple[float, float]
    redrawn: int


@dataclass(frozen=True, slots=True)
class ScoreIntervals:
    """Intervals over all samples and by data set."""

    overall: Intervals
    datasets: Mapping[str, Intervals]

    def summary(self) -> dict[str, Any]:
        """JSON-able, four decimals, with what is needed to draw them again."""
        return {
            "level": LEVEL,
            "draws": DRAWS,
            "seed": SEED,
            **_rounded(self.overall),
            "datasets": {name: _rounded(intervals) for name, intervals in self.datasets.items()},
        }


def score_intervals(
    truth: Int64Array, predictions: Sequence[Int64Array], datasets: Sequence[str], subjects: Sequence[str]
) -> ScoreIntervals:
    """Intervals of the pooled scores; a subject is a pair of data set and name.

    `predictions` holds int64 [N] for each run (one per seed); the interval is that of the mean over runs. Raises
    `InputError` as `measure` does.
    """
    people = np.array([f"{dataset}\0{subject}" for dataset, subject in zip(datasets, subjects, strict=True)])
    names = np.array(datasets)

    def within(chosen: npt.NDArray[np.bool_], where: str) -> Intervals:
        return subject_intervals(truth[chosen], [run[chosen] for run in predictions], people[chosen].tolist(), where)

    return ScoreIntervals(
        overall=within(np.ones(len(truth), bool), "the data"),
        datasets={name: within(names == name, name) for name in sorted(set(datasets))},
    )


def subject_intervals(
    truth: Int64Array, predictions: Sequence[Int64Array], people: Sequence[str], where: str = "the data"
) -> Intervals:
    """Intervals from `DRAWS` draws of as many people as there are, with replacement, all samples of a person at once.

    A draw that lacks a class has no UF1 and is repeated. Raises `InputError` as `measure` does.
    """
    measure(confusion_matrix(truth, truth), where)
    _, person = np.unique(np.array(people), return_inverse=True)
    count = int(person.max()) + 1
    # [runs, people, classes, classes]: the matrix of a draw is a sum over people.
    confusions = np.array(
        [[confusion_matrix(truth[person == i], run[person == i]) for i in range(count)] for run in predictions]
    )
    random = np.random.default_rng(SEED)
    share = np.full(count, 1 / count)
    drawn = np.zeros((0, count), np.int64)
    redrawn = 0
    while len(drawn) < DRAWS:
        new = random.multinomial(count, share, size=DRAWS - len(drawn))
        complete = (np.tensordot(new, confusions[0].sum(2), axes=1) > 0).all(1)
        redrawn += int((~complete).sum())
        drawn = np.concatenate([drawn, new[complete]])
    matrices = np.einsum("dp,rpij->drij", drawn, confusions)
    hits, given, answered = np.einsum("drii->dri", matrices), matrices.sum(3), matrices.sum(2)
    return Intervals(
        uf1=_percentiles((2 * hits / (given + answered)).mean((1, 2))),
        uar=_percentiles((hits / given).mean((1, 2))),
        redrawn=redrawn,
    )


def _percentiles(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _rounded(intervals: Intervals) -> dict[str, Any]:
    return {
        "uf1": [round(bound, 4) for bound in intervals.uf1],
        "uar": [round(bound, 4) for bound in intervals.uar],
        "redrawn": intervals.redrawn,
    }
