"""The joint training of MOL."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from export.checkpoint import checkpoint_bytes
from export.event_training import train_on_events
from export.mol_training import joint_trainer
from export.networks.registry import NETWORKS
from export.synthesis.action_units import UNITS
from export.synthesis.events import EventSamples
from export.training_plan import TrainingPlan
from export.training_progress import EpochReport
from export.training_run import reproducible

SMALL = NETWORKS["mol_small"]
PLAN = TrainingPlan(epochs=2, batch_size=4, learning_rate=1e-3, weight_decay=1e-3)


@pytest.fixture(scope="module")
def samples() -> EventSamples:
    """Six people, two clips each: noise whose landmarks stand still and whose flow is half a px to the right."""
    rng = np.random.default_rng(0)
    flow = np.zeros((12, 2, 128, 128, 7), np.float16)
    flow[:, 0] = 0.5
    face = rng.uniform(20, 108, 136)[:, None].repeat(8, 1)
    return EventSamples(
        recipe="frames_8x128",
        inputs={"video": rng.integers(0, 256, (12, 1, 8, 128, 128)).astype(np.uint8)},
        labels=np.arange(12) % 3,
        action_units=np.zeros((12, 2, len(UNITS)), np.float32),
        people=np.arange(12) // 2,
        extras={"flow": flow, "landmarks": (face + rng.normal(0, 2, (12, 136, 1))).astype(np.float32)},
    )


def _batch(samples: EventSamples) -> tuple[list[torch.Tensor], torch.Tensor, dict[str, torch.Tensor]]:
    extras = {name: torch.from_numpy(values[:4]).float() for name, values in samples.extras.items()}
    return [torch.from_numpy(samples.inputs["video"][:4]).float()], torch.from_numpy(samples.labels[:4]), extras


def test_all_three_are_learnt(samples: EventSamples) -> None:
    """On a few clips, step by step: the loss and each part of it fall, and every head changes."""
    inputs, labels, extras = _batch(samples)
    with reproducible("cpu"):
        torch.manual_seed(0)
        model = SMALL.build(dropout=0.0).train()
        before = {name: value.clone() for name, value in model.named_parameters()}
        trainer = joint_trainer(model, PLAN, 25)
        told = [trainer.step(inputs, labels, extras) for _ in range(25)]
    assert told[0].keys() == {"loss", "class", "flow", "landmarks"}
    for name, share in {"loss": 0.3, "class": 0.1, "flow": 0.7, "landmarks": 0.9}.items():
        assert sum(each[name] for each in told[-5:]) < share * sum(each[name] for each in told[:5])
    assert told[0]["loss"] == pytest.approx(
        told[0]["class"] + 10 * told[0]["flow"] + 0.1 * told[0]["landmarks"], rel=1e-5
    )
    changed = [name for name, value in model.named_parameters() if not torch.equal(value, before[name])]
    assert {name.split(".")[0] for name in changed} == {"recognition", "flow", "landmarks"}


def test_landmarks_start_from_the_mean_face(samples: EventSamples) -> None:
    """Before it has learnt anything the landmark head is about as far off as the mean face of its first batch."""
    inputs, labels, extras = _batch(samples)
    with reproducible("cpu"):
        torch.manual_seed(0)
        model = SMALL.build().train()
        trainer = joint_trainer(model, replace(PLAN, learning_rate=1e-9), 4)
        trainer.step(inputs, labels, extras)
        model.eval()
        with torch.inference_mode():
            figures = trainer.measure(inputs, labels, extras)
    assert figures["landmark_nme_percent"] == pytest.approx(figures["landmark_nme_percent_of_mean_face"], rel=0.05)
    assert figures["flow_epe_px_of_rest"] == pytest.approx(0.5)
    assert figures["class_loss"] == pytest.approx(math.log(3), rel=0.1)


def test_held_out_people_are_measured_by_all_three_heads(samples: EventSamples) -> None:
    """Each epoch tells the parts of the loss and the errors of the heads; the last ones are kept with the weights."""
    reports: list[EpochReport] = []
    checkpoint = train_on_events("mol_small", samples, PLAN, command="the command", on_epoch=reports.append)
    names = {
        "class_loss",
        "flow_epe_px",
        "flow_epe_px_of_rest",
        "landmark_nme_percent",
        "landmark_nme_percent_of_mean_face",
    }
    assert [report.held_out.further.keys() for report in reports] == [names, names]
    assert [report.parts.keys() for report in reports] == [{"class", "flow", "landmarks"}] * 2
    assert checkpoint.training["validation"]["flow_epe_px"] == round(reports[-1].held_out.further["flow_epe_px"], 4)
    assert checkpoint.training["validation"]["samples"] == 2
    assert set(checkpoint.state) == set(SMALL.build().state_dict())


def test_same_samples_same_weights(samples: EventSamples) -> None:
    """Which pairs are drawn depends on the seed alone: two runs give the same file."""
    once = replace(PLAN, epochs=1)
    first = checkpoint_bytes(train_on_events("mol_small", samples, once, command="the command"))
    torch.manual_seed(7)
    assert checkpoint_bytes(train_on_events("mol_small", samples, once, command="the command")) == first
