"""Intervals of UF1 and UAR over subjects: who was recorded is the main reason why another data set scores otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from export.evaluation import Int64Array, confusion_matrix, measure

DRAWS = 1000
LEVEL = 0.95
SEED = 0

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Intervals:
    """Percentile intervals (low, high) of UF1 and UAR, and how many draws were repeated for want of a class."""

    uf1: tuple[float, float]
    uar: tuple[float, float]
    redrawn: int

    def summary(self) -> dict[str, Any]:
        """JSON-able, four decimals."""
        return {
            "uf1": [round(bound, 4) for bound in self.uf1],
            "uar": [round(bound, 4) for bound in self.uar],
            "redrawn": self.redrawn,
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """UF1 and UAR of one method minus those of another on the same samples, with intervals over the same draws."""

    uf1: float
    uar: float
    intervals: Intervals

    def summary(self) -> dict[str, Any]:
        """JSON-able, four decimals."""
        return {"uf1": round(self.uf1, 4), "uar": round(self.uar, 4), "intervals": self.intervals.summary()}


@dataclass(frozen=True, slots=True)
class ScoreIntervals:
    """Intervals over all samples and by data set."""

    overall: Intervals
    datasets: Mapping[str, Intervals]

    def summary(self) -> dict[str, Any]:
        """JSON-able, four decimals, with what is needed to draw them again."""
        return {
            **_settings(),
            **self.overall.summary(),
            "datasets": {name: intervals.summary() for name, intervals in self.datasets.items()},
        }


@dataclass(frozen=True, slots=True)
class ScoreDifferences:
    """Differences over all samples and by data set."""

    overall: Difference
    datasets: Mapping[str, Difference]

    def summary(self) -> dict[str, Any]:
        """JSON-able, four decimals, with what is needed to draw them again."""
        return {
            **_settings(),
            **self.overall.summary(),
            "datasets": {name: difference.summary() for name, difference in self.datasets.items()},
        }


def score_intervals(
    truth: Int64Array, predictions: Sequence[Int64Array], datasets: Sequence[str], subjects: Sequence[str]
) -> ScoreIntervals:
    """Intervals of the pooled scores; a subject is a pair of data set and name.

    `predictions` holds int64 [N] for each run (one per seed); the interval is that of the mean over runs. Raises
    `InputError` as `measure` does.
    """

    def within(chosen: npt.NDArray[np.bool_], people: Sequence[str], where: str) -> Intervals:
        return subject_intervals(truth[chosen], [run[chosen] for run in predictions], people, where)

    return ScoreIntervals(*_by_dataset(within, datasets, subjects))


def score_differences(
    truth: Int64Array,
    first: Sequence[Int64Array],
    second: Sequence[Int64Array],
    datasets: Sequence[str],
    subjects: Sequence[str],
) -> ScoreDifferences:
    """By how much the pooled scores of `first` are above those of `second`; both as in `score_intervals`."""

    def within(chosen: npt.NDArray[np.bool_], people: Sequence[str], where: str) -> Difference:
        one, other = ([run[chosen] for run in method] for method in (first, second))
        return paired_difference(truth[chosen], one, other, people, where)

    return ScoreDifferences(*_by_dataset(within, datasets, subjects))


def subject_intervals(
    truth: Int64Array, predictions: Sequence[Int64Array], people: Sequence[str], where: str = "the data"
) -> Intervals:
    """Intervals from `DRAWS` draws of as many people as there are, with replacement, all samples of a person at once.

    A draw that lacks a class has no UF1 and is repeated. Raises `InputError` as `measure` does.
    """
    drawn, redrawn = _draw_people(truth, people, where)
    uf1, uar = _drawn_scores(drawn, truth, predictions, people)
    return Intervals(uf1=_percentiles(uf1), uar=_percentiles(uar), redrawn=redrawn)


def paired_difference(
    truth: Int64Array,
    first: Sequence[Int64Array],
    second: Sequence[Int64Array],
    people: Sequence[str],
    where: str = "the data",
) -> Difference:
    """The mean score over the runs of `first` minus that of `second`, on the people of each draw alike.

    What makes a sample hard for both cancels out, so the interval is narrower than those of the two scores. Raises
    `InputError` as `measure` does.
    """
    drawn, redrawn = _draw_people(truth, people, where)
    everybody = np.ones((1, drawn.shape[1]), np.int64)
    one, other, point, its = (
        _drawn_scores(who, truth, runs, people) for who in (drawn, everybody) for runs in (first, second)
    )
    return Difference(
        uf1=float(point[0][0] - its[0][0]),
        uar=float(point[1][0] - its[1][0]),
        intervals=Intervals(_percentiles(one[0] - other[0]), _percentiles(one[1] - other[1]), redrawn),
    )


def _by_dataset(
    within: Callable[[npt.NDArray[np.bool_], Sequence[str], str], _Found],
    datasets: Sequence[str],
    subjects: Sequence[str],
) -> tuple[_Found, dict[str, _Found]]:
    people = np.array([f"{dataset}\0{subject}" for dataset, subject in zip(datasets, subjects, strict=True)])
    names = np.array(datasets)
    parts = {name: names == name for name in sorted(set(datasets))}
    return (
        within(np.ones(len(names), bool), people.tolist(), "the data"),
        {name: within(chosen, people[chosen].tolist(), name) for name, chosen in parts.items()},
    )


def _draw_people(truth: Int64Array, people: Sequence[str], where: str) -> tuple[Int64Array, int]:
    """How often each person is in each draw, int64 [DRAWS, people], and how many draws lacked a class."""
    measure(confusion_matrix(truth, truth), where)
    by_person = _confusions(truth, [truth], people)[0].sum(2)
    count = len(by_person)
    random = np.random.default_rng(SEED)
    drawn = np.zeros((0, count), np.int64)
    redrawn = 0
    while len(drawn) < DRAWS:
        new = random.multinomial(count, np.full(count, 1 / count), size=DRAWS - len(drawn))
        complete = (np.tensordot(new, by_person, axes=1) > 0).all(1)
        redrawn += int((~complete).sum())
        drawn = np.concatenate([drawn, new[complete]])
    return drawn, redrawn


def _drawn_scores(
    drawn: Int64Array, truth: Int64Array, predictions: Sequence[Int64Array], people: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """UF1 and UAR of each draw, mean over runs, float64 [draws]."""
    matrices = np.einsum("dp,rpij->drij", drawn, _confusions(truth, predictions, people))
    hits, given, answered = np.einsum("drii->dri", matrices), matrices.sum(3), matrices.sum(2)
    return (2 * hits / (given + answered)).mean((1, 2)), (hits / given).mean((1, 2))


def _confusions(truth: Int64Array, predictions: Sequence[Int64Array], people: Sequence[str]) -> Int64Array:
    """[runs, people, classes, classes]: the matrix of a draw is a sum over people."""
    _, person = np.unique(np.array(people), return_inverse=True)
    everyone = range(int(person.max()) + 1)
    return np.array([[confusion_matrix(truth[person == i], run[person == i]) for i in everyone] for run in predictions])


def _percentiles(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _settings() -> dict[str, Any]:
    return {"level": LEVEL, "draws": DRAWS, "seed": SEED}
