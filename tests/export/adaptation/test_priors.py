"""Class shares from the answers to unlabelled samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.adaptation.priors import FEWEST_SAMPLES, Float64Array, estimate_priors, maximise, reweighted
from server.errors import InputError

EQUAL = (1 / 3, 1 / 3, 1 / 3)
TRUE = np.array([0.7, 0.1, 0.2])


def _answers(samples: int, shares: Float64Array, sharpness: float = 2.0, seed: int = 0) -> Float64Array:
    """Calibrated probabilities of a model that learnt with equal shares, on samples of other shares.

    Scores are normal around the own class, whose exact posterior is a softmax.
    """
    random = np.random.default_rng(seed)
    truth = random.choice(3, samples, p=shares)
    scores = random.normal(size=(samples, 3)) + sharpness * np.eye(3)[truth]
    weights = np.exp(sharpness * scores)
    result: Float64Array = weights / weights.sum(1, keepdims=True)
    return result


def test_shares_of_a_calibrated_model_are_recovered() -> None:
    """Of many samples the estimate is the truth, which counting the answers is not."""
    answers = _answers(5000, TRUE, sharpness=1.0)
    np.testing.assert_allclose(maximise(answers, np.array(EQUAL)), TRUE, atol=0.02)
    counted = np.bincount(answers.argmax(1), minlength=3) / len(answers)
    assert np.abs(counted - TRUE).max() > 0.05
    np.testing.assert_allclose(estimate_priors(answers, EQUAL).shares, TRUE, atol=0.02)


def test_reweighted_answers_are_more_often_right() -> None:
    """Knowing the shares, the same model errs less."""
    random = np.random.default_rng(1)
    truth = random.choice(3, 3000, p=TRUE)
    weights = np.exp(random.normal(size=(3000, 3)) + np.eye(3)[truth])
    answers = weights / weights.sum(1, keepdims=True)
    again = reweighted(answers, TRUE / np.array(EQUAL))
    np.testing.assert_allclose(again.sum(1), 1)
    assert (again.argmax(1) == truth).mean() > (answers.argmax(1) == truth).mean() + 0.03


def test_few_samples_are_pulled_to_the_shares_of_training() -> None:
    """Thirty samples of one class do not make the others impossible, and fewer samples are trusted less."""
    shares = [estimate_priors(_answers(n, np.array([1.0, 0.0, 0.0])), EQUAL).shares for n in (30, 300)]
    assert shares[0].min() > 1 / 6 - 0.05
    assert shares[1][0] > shares[0][0] + 0.1
    assert all(abs(each.sum() - 1) < 1e-9 for each in shares)


def test_unchanged_shares_are_not_adapted_to() -> None:
    """Where the likelihood gains no more than chance gives, there is nothing to adapt."""
    with pytest.raises(InputError, match=r"do not differ from those of training \(p = 0\.\d\d on 100 samples\)"):
        estimate_priors(_answers(100, np.array(EQUAL)), EQUAL)


def test_the_test_is_wrong_as_often_as_it_says() -> None:
    """Of 300 sets without any change about one in twenty is taken for changed."""
    changed = 0
    for seed in range(300):
        try:
            estimate_priors(_answers(150, np.array(EQUAL), seed=seed), EQUAL)
        except InputError:
            continue
        changed += 1
    assert 3 <= changed <= 30


def test_few_samples_are_refused() -> None:
    """Nothing is estimated from fewer samples than the guard asks for."""
    with pytest.raises(InputError, match=f"29 samples say too little of their classes; {FEWEST_SAMPLES} are needed"):
        estimate_priors(_answers(29, TRUE), EQUAL)


def test_impossible_answers_keep_their_class() -> None:
    """A sample that can only be of a class with no share keeps its probability instead of becoming none."""
    again = reweighted(np.array([[1.0, 0.0, 0.0]]), np.array([0.0, 1.5, 1.5]))
    assert again.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("answers", "trained"),
    [
        (np.full((40, 2), 0.5), EQUAL),
        (np.full((40, 3), 0.5), EQUAL),
        (np.full((40, 3), np.nan), EQUAL),
        (np.tile([1.5, -0.5, 0.0], (40, 1)), EQUAL),
        (np.full((40, 3), 1 / 3), (0.5, 0.5, 0.0)),
        (np.full((40, 3), 1 / 3), (0.5, 0.5)),
    ],
)
def test_what_is_no_probability_is_refused(answers: Any, trained: tuple[float, ...]) -> None:
    """Rows that do not sum to 1, negative ones, and shares with a zero are named."""
    with pytest.raises(InputError, match=r"probabilit|shares"):
        estimate_priors(answers, trained)
