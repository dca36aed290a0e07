"""Calibration errors and proper scores, on answers whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from export.calibration import BINS, mean_reliability, measure_abstention, measure_reliability


def _answers(confidences: list[float], correct: list[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Answers for class 0 of the given confidence, the rest on the other two alike."""
    top = np.array(confidences, np.float32)
    probabilities = np.stack([top, (1 - top) / 2, (1 - top) / 2], axis=1)
    return np.where(correct, 0, 1), probabilities


def test_calibration_error_weighs_bins_by_their_samples() -> None:
    """Three samples of .9 with two hits and one of .5 that hits: (3 * |2/3 - .9| + |1 - .5|) / 4."""
    found = measure_reliability(*_answers([0.9, 0.9, 0.9, 0.5], [True, True, False, True]))
    assert found.ece == pytest.approx((3 * abs(2 / 3 - 0.9) + 0.5) / 4)
    assert found.samples == 4


def test_equally_full_bins_part_what_equal_ones_join() -> None:
    """Thirty confidences within one wide bin make fifteen full ones of two samples each."""
    confidences = np.linspace(0.94, 0.99, 30).tolist()
    found = measure_reliability(*_answers(confidences, [i % 4 < 2 for i in range(30)]))
    assert found.ece == pytest.approx(abs(16 / 30 - np.mean(confidences)), abs=1e-6)
    pairs = np.reshape(confidences, (BINS, 2)).mean(1)
    expected = np.mean([abs((i % 2 == 0) - pair) for i, pair in enumerate(pairs)])
    assert found.adaptive_ece == pytest.approx(expected, abs=1e-6)


def test_certain_and_right_is_perfect() -> None:
    """All figures are 0."""
    found = measure_reliability(*_answers([1.0] * 20, [True] * 20))
    assert (found.ece, found.adaptive_ece, found.brier, found.nll) == (0, 0, 0, 0)


def test_proper_scores_are_those_of_the_formulas() -> None:
    """Brier sums squares over classes; likelihood is that of the truth, and a certain mistake stays finite."""
    found = measure_reliability(*_answers([0.6, 0.8], [True, False]))
    hit = 0.4**2 + 2 * 0.2**2
    miss = 0.8**2 + 0.9**2 + 0.1**2
    assert found.brier == pytest.approx((hit + miss) / 2)
    assert found.nll == pytest.approx(-(math.log(0.6) + math.log(0.1)) / 2)
    assert math.isfinite(measure_reliability(*_answers([1.0], [False])).nll)


def test_order_of_samples_does_not_matter() -> None:
    """Shuffled rows give the same figures, also where confidences are equal."""
    rng = np.random.default_rng(0)
    truth, probabilities = _answers(np.round(rng.uniform(0.4, 1, 200), 1).tolist(), (rng.random(200) < 0.7).tolist())
    order = rng.permutation(200)
    plain, shuffled = measure_reliability(truth, probabilities), measure_reliability(truth[order], probabilities[order])
    assert plain.summary() == shuffled.summary()
    assert plain.adaptive_ece != plain.ece


def test_withholding_doubt_keeps_the_rest() -> None:
    """Answers of at least the threshold are given; their share and accuracy are told, or that there is none."""
    truth, probabilities = _answers([0.9, 0.5, 0.7, 0.4], [True, False, False, True])
    found = measure_abstention(truth, probabilities, 0.5)
    assert (found.coverage, found.accuracy) == (0.75, pytest.approx(1 / 3))
    assert measure_abstention(truth, probabilities, 0.0).coverage == 1
    assert measure_abstention(truth, probabilities, 0.95).summary() == {
        "threshold": 0.95,
        "coverage": 0.0,
        "accuracy": None,
    }


def test_mean_over_runs_is_that_of_each_figure() -> None:
    """Runs of several seeds are told as one line."""
    runs = [measure_reliability(*_answers([0.6, 0.8], hits)) for hits in ([True, True], [True, False])]
    mean = mean_reliability(runs)
    assert mean.ece == pytest.approx((runs[0].ece + runs[1].ece) / 2)
    assert mean.nll == pytest.approx((runs[0].nll + runs[1].nll) / 2)
