"""Intervals over subjects."""

from __future__ import annotations

import numpy as np
import pytest

from export.bootstrap import DRAWS, paired_difference, score_differences, score_intervals, subject_intervals
from export.evaluation import confusion_matrix, measure
from server.errors import InputError

RNG = np.random.default_rng(5)
TRUTH = np.arange(180) % 3
PREDICTIONS = np.where(RNG.random(180) < 0.7, TRUTH, RNG.integers(0, 3, 180))
PEOPLE = [f"s{i // 12}" for i in range(180)]


def test_interval_covers_the_point_and_is_the_same_again() -> None:
    """The score of the data lies inside, and a second computation gives the same bounds."""
    found = subject_intervals(TRUTH, [PREDICTIONS], PEOPLE)
    measures = measure(confusion_matrix(TRUTH, PREDICTIONS))
    assert found.uf1[0] < measures.uf1 < found.uf1[1]
    assert found.uar[0] < measures.uar < found.uar[1]
    assert 0.05 < found.uf1[1] - found.uf1[0] < 0.25
    assert found.redrawn == 0
    assert found == subject_intervals(TRUTH, [PREDICTIONS], PEOPLE)


def test_interval_agrees_with_a_plain_loop() -> None:
    """Bounds are those of resampled lists of samples, up to the noise of another random sequence."""
    rng = np.random.default_rng(1)
    samples = [np.flatnonzero(np.array(PEOPLE) == person) for person in sorted(set(PEOPLE))]
    scores = []
    for _ in range(DRAWS):
        rows = np.concatenate([samples[i] for i in rng.integers(0, len(samples), len(samples))])
        scores.append(measure(confusion_matrix(TRUTH[rows], PREDICTIONS[rows])).uf1)
    assert subject_intervals(TRUTH, [PREDICTIONS], PEOPLE).uf1 == pytest.approx(
        tuple(np.quantile(scores, [0.025, 0.975])), abs=0.015
    )


def test_draws_without_a_class_are_repeated_and_counted() -> None:
    """Where one of six people alone shows surprise, about a third of the draws lack it."""
    truth = np.array([0, 1] * 5 + [2, 2])
    found = subject_intervals(truth, [truth], [f"s{i // 2}" for i in range(12)])
    assert found.uf1 == (1, 1)
    assert found.redrawn == pytest.approx(DRAWS * 0.335 / 0.665, rel=0.25)


def test_absent_class_is_an_error() -> None:
    """Without any sample of a class no draw could be scored."""
    with pytest.raises(InputError, match="no sample of smic is surprise"):
        subject_intervals(np.array([0, 1]), [np.array([0, 1])], ["a", "b"], "smic")


def test_people_of_two_data_sets_are_two() -> None:
    """A name that two data sets share is drawn separately: the interval is that of different names."""
    datasets = ["a"] * 90 + ["b"] * 90
    shared = [f"s{i % 90 // 12}" for i in range(180)]
    own = [f"{dataset}-{subject}" for dataset, subject in zip(datasets, shared, strict=True)]
    assert score_intervals(TRUTH, [PREDICTIONS], datasets, shared) == score_intervals(
        TRUTH, [PREDICTIONS], datasets, own
    )


def test_interval_of_several_runs_is_that_of_their_mean() -> None:
    """A perfect and an ordinary run give bounds halfway between."""
    one = subject_intervals(TRUTH, [PREDICTIONS], PEOPLE)
    both = subject_intervals(TRUTH, [PREDICTIONS, TRUTH], PEOPLE)
    assert both.uf1 == pytest.approx(tuple((1 + bound) / 2 for bound in one.uf1))


def test_paired_interval_is_narrower_than_those_of_the_scores() -> None:
    """Two methods that fail on the same samples differ with little doubt, whatever their own intervals are."""
    better = PREDICTIONS.copy()
    mistakes = np.flatnonzero(better != TRUTH)[::3]
    better[mistakes] = TRUTH[mistakes]
    found = paired_difference(TRUTH, [better], [PREDICTIONS], PEOPLE)
    scores = [measure(confusion_matrix(TRUTH, run)) for run in (better, PREDICTIONS)]
    assert found.uf1 == pytest.approx(scores[0].uf1 - scores[1].uf1)
    assert found.uar == pytest.approx(scores[0].uar - scores[1].uar)
    low, high = found.intervals.uf1
    assert 0 < low < found.uf1 < high
    alone = subject_intervals(TRUTH, [PREDICTIONS], PEOPLE).uf1
    assert high - low < (alone[1] - alone[0]) / 2


def test_difference_has_a_sign() -> None:
    """Exchanging the two turns the difference round; a method does not differ from itself."""
    one = paired_difference(TRUTH, [TRUTH], [PREDICTIONS], PEOPLE)
    other = paired_difference(TRUTH, [PREDICTIONS], [TRUTH], PEOPLE)
    assert other.uf1 == -one.uf1
    assert other.intervals.uf1 == pytest.approx(tuple(-bound for bound in reversed(one.intervals.uf1)))
    none = paired_difference(TRUTH, [PREDICTIONS], [PREDICTIONS], PEOPLE)
    assert (none.uf1, none.intervals.uf1) == (0, (0, 0))


def test_difference_agrees_with_a_plain_loop() -> None:
    """Bounds are those of resampled people on whom both are scored, up to the noise of another sequence."""
    rng = np.random.default_rng(1)
    other = np.where(RNG.random(180) < 0.6, TRUTH, RNG.integers(0, 3, 180))
    samples = [np.flatnonzero(np.array(PEOPLE) == person) for person in sorted(set(PEOPLE))]
    differences = []
    for _ in range(DRAWS):
        rows = np.concatenate([samples[i] for i in rng.integers(0, len(samples), len(samples))])
        one, two = (measure(confusion_matrix(TRUTH[rows], run[rows])).uf1 for run in (PREDICTIONS, other))
        differences.append(one - two)
    assert paired_difference(TRUTH, [PREDICTIONS], [other], PEOPLE).intervals.uf1 == pytest.approx(
        tuple(np.quantile(differences, [0.025, 0.975])), abs=0.015
    )


def test_differences_are_told_by_data_set() -> None:
    """Where a method is better in one data set alone, the other shows no difference."""
    datasets = ["a"] * 96 + ["b"] * 84
    first = np.concatenate([TRUTH[:96], PREDICTIONS[96:]])
    found = score_differences(TRUTH, [first], [PREDICTIONS], datasets, PEOPLE)
    assert found.datasets["a"].uf1 > found.overall.uf1 > 0
    assert found.datasets["b"].uf1 == 0
    assert {"uf1", "uar", "intervals", "datasets", "draws", "seed", "level"} <= found.summary().keys()
