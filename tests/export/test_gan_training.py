"""Training ICE-GAN over data: discriminator and generator against each other."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from export.checkpoint import Checkpoint, checkpoint_bytes
from export.companions import companion_bytes
from export.event_training import train_on_events
from export.gan_training import GENERATOR
from export.networks.icegan import ICEGAN
from export.networks.icegan_generator import Generator
from export.synthesis.action_units import UNITS
from export.synthesis.events import EventSamples
from export.training_plan import TrainingPlan
from export.training_progress import EpochReport

PLAN = TrainingPlan(epochs=2, batch_size=5, learning_rate=1e-4, weight_decay=0.0, warm_up=0.5)


@pytest.fixture(scope="module")
def samples() -> EventSamples:
    """Six people of noise, two samples each."""
    random = np.random.default_rng(0)
    onset = random.integers(0, 256, (12, 1, 128, 128)).astype(np.uint8)
    return EventSamples(
        "apex_gray_128",
        {"apex": random.integers(0, 256, onset.shape).astype(np.uint8)},
        np.arange(12) % 3,
        np.zeros((12, 2, len(UNITS)), np.float32),
        np.arange(12) // 2,
        {"onset": onset},
    )


def _train(samples: EventSamples, plan: TrainingPlan = PLAN, reports: list[EpochReport] | None = None) -> Checkpoint:
    on_epoch = reports.append if reports is not None else None
    return train_on_events("icegan", samples, plan, command="the command", on_epoch=on_epoch)


@pytest.fixture(scope="module")
def trained(samples: EventSamples) -> Checkpoint:
    return _train(samples)


def test_both_learn_and_say_so(samples: EventSamples) -> None:
    """The epoch of the warm-up tells the loss of the discriminator alone, the other one that of the generator too."""
    reports: list[EpochReport] = []
    checkpoint = _train(samples, reports=reports)
    assert [set(report.parts) for report in reports] == [set(), {GENERATOR}]
    assert all(math.isfinite(loss) for report in reports for loss in (report.loss, *report.parts.values()))
    assert [len(report.held_out.probabilities) for report in reports] == [2, 2]
    torch.manual_seed(PLAN.seed)
    for fresh, state in ((ICEGAN(), checkpoint.state), (Generator(), checkpoint.companions[GENERATOR])):
        moved = [name for name, value in fresh.named_parameters() if not torch.equal(value, state[name])]
        assert moved


def test_warm_up_leaves_the_generator_alone(samples: EventSamples) -> None:
    """Where all is warm-up the generator has the weights that it was drawn with, and the discriminator has not."""
    checkpoint = _train(samples, replace(PLAN, epochs=1, warm_up=1.0))
    torch.manual_seed(PLAN.seed)
    critic, generator = ICEGAN(), Generator()
    kept = checkpoint.companions[GENERATOR]
    assert all(torch.equal(value, kept[name]) for name, value in generator.named_parameters())
    assert not torch.equal(critic.expression.weight, checkpoint.state["expression.weight"])


def test_same_samples_same_bytes(samples: EventSamples, trained: Checkpoint) -> None:
    """Two runs give the same two files, another seed others."""
    torch.manual_seed(7)
    again = _train(samples)
    assert checkpoint_bytes(again) == checkpoint_bytes(trained)
    assert companion_bytes(again, GENERATOR) == companion_bytes(trained, GENERATOR)
    other = _train(samples, replace(PLAN, seed=1))
    assert companion_bytes(other, GENERATOR) != companion_bytes(trained, GENERATOR)
