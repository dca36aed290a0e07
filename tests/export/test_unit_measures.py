"""Measures of action units, on answers whose scores are known."""

from __future__ import annotations

import numpy as np
import pytest

from export.labels import LABELS
from export.synthesis.action_units import BLINK, GAZE, UNITS
from export.unit_measures import COMMON_UNITS, measure_units, rank_units
from server.errors import InputError


def test_f1_counts_samples_and_sides() -> None:
    """A unit counts once for a sample, by its stronger side, and each side is a decision of a measure of its own."""
    strengths, said = np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.float32)
    strengths[0, :, 0] = 1.0
    said[0, 0, 0] = said[1, 1, 0] = 0.9
    found = measure_units(said, strengths, (4, 12))
    assert (found.units[0].unit, found.units[0].shown) == (4, 1)
    assert (found.units[0].precision, found.units[0].recall) == (0.5, 1.0)
    assert found.units[0].f1 == pytest.approx(2 / 3)
    assert found.units[0].side_f1 == 0.5
    assert found.units[1].f1 == found.units[1].side_f1 == 0


def test_blinks_and_gaze_are_no_expressions() -> None:
    """However common, they do not count among the commonest units."""
    strengths = np.ones((4, 2, 3), np.float32)
    said = strengths.copy()
    said[:, :, 1:] = 0
    assert measure_units(said, strengths, (4, BLINK, GAZE)).mean_f1 == 1


def test_mean_is_over_the_commonest_units() -> None:
    """Of all units of expressions the twelve that most samples show count, whatever is said of the rest."""
    strengths = np.zeros((30, 2, len(UNITS)), np.float32)
    for column in range(len(UNITS)):
        strengths[: 30 - column, :, column] = 0.5
    said = strengths.copy()
    said[:, :, COMMON_UNITS:] = 1 - said[:, :, COMMON_UNITS:]
    assert measure_units(said, strengths).mean_f1 == 1
    said[:, :, 0] = 0
    assert measure_units(said, strengths).mean_f1 == pytest.approx(1 - 1 / COMMON_UNITS)


def test_weak_movement_is_none() -> None:
    """Below the visible strength a unit does not count as moved."""
    strengths = np.full((1, 2, 1), 0.2, np.float32)
    assert measure_units(np.ones((1, 2, 1), np.float32), strengths, (4,)).units[0].shown == 0


def test_unknown_samples_are_left_out() -> None:
    """Samples that nobody coded are no negatives; where none is coded there is no score."""
    strengths = np.ones((3, 2, 1), np.float32)
    strengths[1] = np.nan
    said = np.ones((3, 2, 1), np.float32)
    assert measure_units(said, strengths, (4,)).summary() == {
        "samples": 2,
        "mean_f1": 1.0,
        "mean_side_f1": 1.0,
        "units": {"4": {"shown": 2, "precision": 1.0, "recall": 1.0, "f1": 1.0, "side_f1": 1.0}},
    }
    assert measure_units(said, np.full_like(strengths, np.nan), (4,)) is None


def test_answers_that_do_not_fit_are_refused() -> None:
    """Another number of units or samples is an error, not a broadcast."""
    with pytest.raises(InputError, match="do not fit"):
        measure_units(np.ones((3, 2, 1), np.float32), np.ones((3, 2, 2), np.float32), (1, 2))
    with pytest.raises(InputError, match="do not fit"):
        measure_units(np.ones((3, 2, 2), np.float32), np.ones((3, 2, 2), np.float32))


def test_rank_is_that_of_the_larger_side() -> None:
    """A one-sided smile ranks by the side that smiles; blinks take no rank; other classes are not asked."""
    said = np.zeros((4, 2, len(UNITS)), np.float32)
    positive, surprise, negative = (LABELS.index(label) for label in ("positive", "surprise", "negative"))
    said[:, :, UNITS.index(BLINK)] = 1.0
    said[:, :, UNITS.index(4)] = 0.5
    said[:, :, UNITS.index(7)] = 0.4
    said[0, 1, UNITS.index(12)] = 0.9
    said[2, 0, UNITS.index(2)] = 0.45
    found = rank_units(said, np.array([positive, positive, surprise, negative]))
    assert [(each.label, each.units, each.samples, each.share) for each in found] == [
        ("positive", (12,), 2, 0.5),
        ("surprise", (1, 2), 1, 1.0),
    ]


def test_units_that_a_model_lacks_are_not_ranked() -> None:
    """Nothing is said of a class whose units the model does not know."""
    assert rank_units(np.ones((2, 2, 1), np.float32), np.array([1, 2]), (12,))[0].label == "positive"
    assert len(rank_units(np.ones((2, 2, 1), np.float32), np.array([1, 2]), (12,))) == 1
