"""Temperature and thresholds on samples whose right answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from export.calibration_fit import calibrate, fit_temperature, fit_unit_shift
from export.networks.blocks import flow_graph
from export.networks.glimpse_flow import GlimpseFlow
from export.synthesis.flow_fields import synthesize_flow


def _sure(confidence: float, samples: int, right: float) -> tuple[np.ndarray, np.ndarray]:
    """Answers that all claim `confidence` for class 0, of which a share `right` is of that class, the rest evenly."""
    rest = (1 - confidence) / 2
    probabilities = np.tile(np.array([confidence, rest, rest], np.float32), (samples, 1))
    labels = np.zeros(samples, np.int64)
    wrong = round(samples * (1 - right))
    labels[:wrong] = 1 + np.arange(wrong) % 2
    return probabilities, labels


@pytest.mark.parametrize("right", [0.5, 0.7, 0.9, 0.97])
def test_temperature_brings_confidence_to_accuracy(right: float) -> None:
    """Whoever claims 95 % is brought to the share that was right, from above and from below."""
    probabilities, labels = _sure(0.95, 2000, right)
    powered = probabilities[0] ** (1 / fit_temperature(probabilities, labels))
    assert powered[0] / powered.sum() == pytest.approx(right, abs=2e-3)


def test_temperature_of_what_is_calibrated_is_one() -> None:
    """Nothing is changed where nothing is wrong."""
    assert fit_temperature(*_sure(0.8, 1000, 0.8)) == pytest.approx(1.0, abs=0.01)


def test_temperature_stays_within_bounds() -> None:
    """Answers that are always right end at the lower bound, not at nothing."""
    assert fit_temperature(*_sure(0.6, 100, 1.0)) == pytest.approx(0.25, rel=1e-3)


def test_shift_puts_the_best_threshold_at_one_half() -> None:
    """Scores that part at .2 are told apart at .5 after the shift; a unit that nobody shows is left as it is."""
    scores = np.full((20, 2, 2), 0.1, np.float32)
    strengths = np.zeros((20, 2, 2), np.float32)
    scores[:10, 1, 0], strengths[:10, 1, 0] = 0.3, 1.0
    shift = fit_unit_shift(scores, strengths)
    assert shift[1] == 0
    shifted = 1 / (1 + np.exp(-(np.log(scores / (1 - scores)) + shift)))
    np.testing.assert_array_equal(shifted[..., 0].max(1) >= 0.5, strengths[..., 0].max(1) > 0)


def test_calibrating_twice_changes_nothing() -> None:
    """What was set before does not take part, so that a calibration depends on weights and samples alone."""
    torch.manual_seed(0)
    network, samples = GlimpseFlow(), synthesize_flow(128, seed=3)
    calibrate(network, "nose_centred", samples)
    first = network.temperature.clone(), network.unit_shift.clone()
    answers = flow_graph(network, "nose_centred")(torch.from_numpy(samples.images).float())
    calibrate(network, "nose_centred", samples)
    assert torch.equal(network.temperature, first[0])
    assert torch.equal(network.unit_shift, first[1])
    again = flow_graph(network, "nose_centred")(torch.from_numpy(samples.images).float())
    assert torch.equal(again.probabilities, answers.probabilities)
