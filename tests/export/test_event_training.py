"""Training on rendered events, for networks that take the tensors of a recipe as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.checkpoint import Checkpoint, checkpoint_bytes
from export.cli import main
from export.event_training import HELD_OUT_EVERY, check_events_alone, train_on_events
from export.networks.network import Network, Weights
from export.networks.registry import NETWORKS
from export.synthesis.action_units import UNITS
from export.synthesis.events import EventSamples
from export.trainer import Trainer
from export.training_plan import TrainingPlan
from export.training_progress import EpochReport
from server.errors import OptionError

PLAN = TrainingPlan(epochs=3, batch_size=16, learning_rate=1e-2)


class _Whole(nn.Module):
    """One dense layer, with a scale that is found on what is trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("largest", torch.ones(()))
        self.layer = nn.Linear(3 * 28 * 28, 3)

    def fit_scaling(self, flow: Tensor) -> None:
        """The largest value."""
        self.largest = flow.abs().max()

    def forward(self, flow: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.layer(flow.flatten(1) / self.largest)
        return logits


class _Counting(Trainer):
    """Tells what it is given; its network learns nothing, another one learns to count."""

    def __init__(self, model: nn.Module, plan: TrainingPlan, steps: int) -> None:
        self._model, self._steps = model, steps
        self._other = nn.Linear(1, 1)
        nn.init.zeros_(self._other.weight)

    def step(self, inputs: Sequence[Tensor], labels: Tensor, extras: Mapping[str, Tensor]) -> Mapping[str, float]:
        assert self._model.training
        with torch.no_grad():
            self._other.weight += 1
        every = {"loss": float(len(inputs[0])), "told": float((extras["doubled"] == 2 * labels).float().mean())}
        return {**every, "steps": float(self._steps)} if self._other.weight > 13 else every

    def companions(self) -> Mapping[str, nn.Module]:
        return {"other": self._other}


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A registered network that takes flow images as they are."""
    as_is = Weights(preparation="as_is")
    network = replace(
        NETWORKS["ststnet"], name="whole", build=_Whole, trained=as_is, published=None, samples=40, plan={"epochs": 2}
    )
    monkeypatch.setitem(NETWORKS, "whole", network)
    return network


@pytest.fixture(scope="module")
def samples() -> EventSamples:
    """Twelve people, whose classes are told by a corner of the picture."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % 3
    flow = rng.integers(0, 100, (240, 3, 28, 28)).astype(np.uint8)
    for label in range(3):
        flow[labels == label, label, :9, :9] += 120
    units = np.zeros((240, 2, len(UNITS)), np.float32)
    return EventSamples("flow_uvs_28", {"flow": flow}, labels, units, np.arange(240) // 20)


def _train(samples: EventSamples, reports: list[EpochReport] | None = None) -> Checkpoint:
    return train_on_events(
        "whole", samples, PLAN, command="the command", on_epoch=reports.append if reports is not None else None
    )


def test_it_learns_and_says_what_it_did(whole: Network, samples: EventSamples) -> None:
    """Each epoch is reported, held-out people are told apart, and the checkpoint names its data and settings."""
    reports: list[EpochReport] = []
    checkpoint = _train(samples, reports)
    assert [report.epoch for report in reports] == [1, 2, 3]
    assert reports[-1].held_out.accuracy > 0.9
    assert reports[-1].remaining_s == 0
    assert checkpoint.training["command"] == "the command"
    assert checkpoint.training["validation"]["samples"] == 20 * (12 // HELD_OUT_EVERY)
    assert checkpoint.training["samples"] == 240 - checkpoint.training["validation"]["samples"]
    assert checkpoint.training["people"] == 10


def test_constants_come_from_what_is_trained_on(whole: Network, samples: EventSamples) -> None:
    """A brighter picture among the held-out people changes nothing."""
    flow = samples.inputs["flow"].copy()
    held = samples.people % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    flow[held] = 255
    brighter = replace(samples, inputs={"flow": flow})
    assert _train(samples).state["largest"] == _train(brighter).state["largest"] < 255


def test_same_samples_same_weights(whole: Network, samples: EventSamples) -> None:
    """Two runs give the same file, another seed another one."""
    first = checkpoint_bytes(_train(samples))
    torch.manual_seed(7)
    assert checkpoint_bytes(_train(samples)) == first
    other = train_on_events("whole", samples, replace(PLAN, seed=1), command="the command")
    assert not torch.equal(other.state["layer.weight"], _train(samples).state["layer.weight"])


def test_a_network_may_bring_its_own_steps(
    whole: Network, samples: EventSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its trainer sees each sample with its extras, its losses are told as means over them, and what it trains beside
    the network is kept apart from the checkpoint's file.
    """
    monkeypatch.setitem(NETWORKS, "whole", replace(whole, trainer=_Counting))
    reports: list[EpochReport] = []
    checkpoint = _train(replace(samples, extras={"doubled": (2 * samples.labels).astype(np.uint8)}), reports)
    assert [report.loss for report in reports] == [(12 * 16**2 + 8**2) / 200] * 3
    assert [dict(report.parts) for report in reports] == [{"told": 1}, *[{"told": 1, "steps": 39}] * 2]
    assert checkpoint.companions["other"]["weight"] == 39
    assert checkpoint_bytes(checkpoint) == checkpoint_bytes(replace(checkpoint, companions={}))


def test_people_cannot_be_held_out_of_one(whole: Network, samples: EventSamples) -> None:
    """One person alone, and samples of another recipe, are refused."""
    with pytest.raises(OptionError, match="too few people"):
        _train(samples.of_people(samples.people == 0))
    with pytest.raises(OptionError, match="is trained on flow_uvs_28"):
        _train(replace(samples, recipe="other"))


@pytest.mark.parametrize(
    ("data", "given"), [(["folder"], {}), (["synthetic", "folder"], {}), (["synthetic"], {"mix": "1,2"})]
)
def test_options_of_flow_images_are_refused(data: list[str], given: dict[str, object]) -> None:
    """What such a network cannot be trained on is said before anything is rendered."""
    with pytest.raises(OptionError, match="flow images"):
        check_events_alone("whole", data, given)


def test_one_command_renders_trains_and_publishes(
    whole: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is served by name and its card says that it was trained on rendered faces."""
    monkeypatch.setattr("export.event_training.HELD_OUT_EVERY", 2)
    places = ["--output", str(tmp_path / "run"), "--repository", str(tmp_path / "models")]
    with pytest.raises(SystemExit) as ended:
        main(["train", "whole", "--data", "synthetic", "--processes", "1", "--publish", *places])
    assert ended.value.code == 0
    card = json.loads((tmp_path / "models" / "whole" / "card.json").read_text())
    assert "rendered" in card["training"]["data"]
    assert card["preparation"] == "as_is"
    assert card["parameters"] == 3 * 28 * 28 * 3 + 3
    assert (tmp_path / "models" / "whole" / "1" / "model.onnx").is_file()
