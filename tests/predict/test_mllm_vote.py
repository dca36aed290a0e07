"""Several answers as one."""

import numpy as np
import pytest

from server.predict.mllm_answer import Answer
from server.predict.mllm_vote import action_units, agreement, probabilities

LABELS = ("negative", "positive", "surprise")


def ranked(*ranking, units=(), **weights):
    return Answer("ranked", ranking, weights, dict(units))


SURE = ranked("positive", "negative", "surprise", positive=0.9, negative=0.1, surprise=0.0)


def test_no_probability_passes_the_cap():
    """What is beyond is shared out so that the order stays."""
    row = probabilities([SURE], LABELS, 0.37)
    assert row.dtype == np.float32
    assert row.sum() == pytest.approx(1)
    assert row.max() == pytest.approx(0.37)
    assert np.argsort(row).tolist() == [2, 0, 1]


def test_an_unsure_answer_is_left_as_it_is():
    """The cap adds no confidence."""
    row = probabilities([ranked(*LABELS, negative=0.36, positive=0.33, surprise=0.31)], LABELS, 0.5)
    np.testing.assert_allclose(row, [0.36, 0.33, 0.31], rtol=1e-6)


def test_without_a_ranking_all_are_alike():
    """Refusals, answers that say nothing, and faces that did not move."""
    row = probabilities([Answer("refused"), Answer("unclear"), Answer("unseen")], LABELS, 1.0)
    np.testing.assert_allclose(row, 1 / 3, rtol=1e-6)


def test_ranks_of_repeated_answers_are_averaged():
    """Mean ranks 4/3, 5/3 and 3 weigh one over each."""
    answers = [ranked("positive", "negative", "surprise")] * 2 + [ranked("negative", "positive", "surprise")]
    row = probabilities([*answers, Answer("refused")], LABELS, 1.0)
    weights = np.array([3 / 5, 3 / 4, 1 / 3])
    np.testing.assert_allclose(row, weights / weights.sum(), rtol=1e-6)


def test_units_that_half_of_the_answers_name_are_reported():
    """On the side that they name, at the threshold and no higher."""
    both, left = {12: (True, True)}, {12: (True, False), 4: (True, False)}
    answers = [ranked(*LABELS, units=both), ranked(*LABELS, units=left), ranked(*LABELS), Answer("refused")]
    np.testing.assert_array_equal(action_units(answers, (4, 12)), [[0, 0.5], [0, 0]])
    np.testing.assert_array_equal(action_units([Answer("refused", units=left)], (4, 12)), [[0.5, 0.5], [0, 0]])
    assert not action_units([Answer("refused")], (4, 12)).any()


def test_agreement_is_the_share_of_the_commonest_first_label():
    """Of those that ranked at all."""
    other = ranked("surprise", "negative", "positive")
    assert agreement([SURE, SURE, other, Answer("refused")]) == pytest.approx(2 / 3)
    assert agreement([Answer("refused")]) == 0
