"""Trains a network that takes the tensors of a recipe as they are, on rendered events, and returns its last epoch.

Networks of flow images are trained by `export.training`, on flow that is synthesised as such, thousands of samples a
second; a rendered event costs a tenth of a second, so there are fewer, and no epoch is ever chosen by a score here
either. Held out are whole people.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.cards import RENDERED_DATA
from export.checkpoint import Checkpoint, checkpoint_bytes
from export.networks.blocks import graph_of
from export.networks.outputs import answers_of
from export.networks.registry import find_network
from export.synthesis.events import IDENTITIES, EventSamples
from export.trainer import LOSS, Trainer
from export.training_plan import Device, TrainingPlan, check_device
from export.training_progress import EpochReport, HeldOutScore, score_of
from export.training_run import batches_of, reproducible
from server.contract import PROBABILITIES
from server.errors import OptionError

HELD_OUT_EVERY = 6
"""Of so many people one is held out."""
_MEASURED_AT_ONCE = 64


def train_on_events(
    network: str,
    samples: EventSamples,
    plan: TrainingPlan,
    *,
    command: str,
    on_epoch: Callable[[EpochReport], None] | None = None,
    device: Device = "cpu",
) -> Checkpoint:
    """Train `network` on `samples` from random weights; held-out people are only looked at.

    The same plan and samples give the same weights on the CPU, where it runs on one thread. A network with a method
    `fit_scaling`, called with the inputs that are trained on, finds its constants by it first; one with a method
    `solve`, called with inputs, labels and people, is fitted by that alone, any other by the `trainer` that it is
    registered with. Raises `OptionError` for an unknown network, for samples of another recipe, and where there are too
    few people to hold one out; `ConfigurationError` as `check_device` does.
    """
    architecture = find_network(network)
    check_device(device)
    if samples.recipe != architecture.recipe:
        raise OptionError(f"{network} is trained on {architecture.recipe}, not on {samples.recipe}", option="data")
    held = np.isin(samples.people, held_out_people())
    if held.all() or not held.any():
        raise OptionError(f"{len(samples.labels)} samples show too few people to hold one out", option="samples")
    seen, unseen = samples.of_people(~held), samples.of_people(held)
    with reproducible(device):
        torch.manual_seed(plan.seed)
        model = architecture.build(**architecture.trained.arguments()).to(device)
        names = [spec.name for spec in architecture.inputs]
        fit_scaling: Callable[..., None] | None = getattr(model, "fit_scaling", None)
        if fit_scaling:
            fit_scaling(*[torch.from_numpy(seen.inputs[name]).float() for name in names])
        companions: Mapping[str, nn.Module] = {}
        solve: Callable[..., None] | None = getattr(model, "solve", None)
        if solve:
            solve([torch.from_numpy(seen.inputs[name]).float() for name in names], seen.labels, seen.people)
            measured = _measure(model, names, unseen, device)
        else:
            steps = plan.epochs * len(batches_of(torch.arange(len(seen.labels)), plan.batch_size))
            trainer = architecture.trainer(model, plan, steps)
            measured = _train(model, trainer, names, plan, seen=seen, unseen=unseen, on_epoch=on_epoch, device=device)
            companions = trainer.companions()
    training: dict[str, Any] = {
        "data": RENDERED_DATA,
        "data_sha256": samples.sha256(),
        "seen_sha256": [samples.sha256()],
        "samples": len(seen.labels),
        "people": len(set(seen.people.tolist())),
        "start_sha256": "",
        **asdict(plan),
        "device": device,
        "validation": {
            "data": "rendered people held out from training",
            "samples": len(unseen.labels),
            **{name: value for name, value in measured.record().items() if value is not None},
        },
        "command": command,
    }
    beside = {name: _state(companion) for name, companion in companions.items()}
    checkpoint = Checkpoint(network, "trained", architecture.trained, _state(model), training, "", companions=beside)
    return replace(checkpoint, sha256=sha256(checkpoint_bytes(checkpoint)).hexdigest())


def held_out_people() -> list[int]:
    """The numbers of those people that no training on rendered events sees."""
    return list(range(HELD_OUT_EVERY - 1, IDENTITIES, HELD_OUT_EVERY))


def check_events_alone(network: str, data: Sequence[str], given: Mapping[str, object]) -> None:
    """Raises `OptionError` for sources and options that training on rendered events does not know."""
    if list(data) != ["synthetic"]:
        raise OptionError(
            f"{network} does not look at flow images, which is what a folder holds; it is trained on --data synthetic",
            option="data",
        )
    for option, value in given.items():
        if value is not None:
            raise OptionError(f"--{option} is for networks of flow images; {network} is none", option=option)


def _train(
    model: nn.Module,
    trainer: Trainer,
    names: Sequence[str],
    plan: TrainingPlan,
    *,
    seen: EventSamples,
    unseen: EventSamples,
    on_epoch: Callable[[EpochReport], None] | None,
    device: Device,
) -> HeldOutScore:
    """All epochs; the score of the last one."""
    inputs = [torch.from_numpy(seen.inputs[name]) for name in names]
    extras = {name: torch.from_numpy(values) for name, values in seen.extras.items()}
    labels = torch.from_numpy(seen.labels)
    began = time.monotonic()
    for epoch in range(1, plan.epochs + 1):
        started = time.monotonic()
        model.train()
        means = _Means()
        for batch in batches_of(torch.randperm(len(labels)), plan.batch_size):
            losses = trainer.step(
                [each[batch].to(device).float() for each in inputs],
                labels[batch].to(device),
                {name: each[batch].to(device).float() for name, each in extras.items()},
            )
            means.add(losses, len(batch))
        score = _measure(model, names, unseen, device)
        score = replace(score, further=_further(trainer, names, unseen, device))
        now = time.monotonic()
        if on_epoch:
            remaining_s = (now - began) / epoch * (plan.epochs - epoch)
            parts = means.found()
            loss = parts.pop(LOSS)
            on_epoch(EpochReport(epoch, plan.epochs, loss, score, now - started, remaining_s, parts))
    return score


def _further(trainer: Trainer, names: Sequence[str], unseen: EventSamples, device: Device) -> dict[str, float]:
    """What the trainer measures of the held-out samples, on a network that `_measure` left in evaluation mode."""
    means = _Means()
    with torch.inference_mode():
        for rows in batches_of(torch.arange(len(unseen.labels)), _MEASURED_AT_ONCE):
            figures = trainer.measure(
                [torch.from_numpy(unseen.inputs[name])[rows].to(device).float() for name in names],
                torch.from_numpy(unseen.labels)[rows].to(device),
                {name: torch.from_numpy(each)[rows].to(device).float() for name, each in unseen.extras.items()},
            )
            means.add(figures, len(rows))
    return means.found()


class _Means:
    """Of losses by name over the samples for which each was told."""

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}
        self._samples: dict[str, int] = {}

    def add(self, losses: Mapping[str, float], samples: int) -> None:
        for name, loss in losses.items():
            self._totals[name] = self._totals.get(name, 0.0) + loss * samples
            self._samples[name] = self._samples.get(name, 0) + samples

    def found(self) -> dict[str, float]:
        return {name: total / self._samples[name] for name, total in self._totals.items()}


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.cpu() for name, value in model.state_dict().items()}


def _measure(model: nn.Module, names: Sequence[str], unseen: EventSamples, device: Device) -> HeldOutScore:
    answers = answers_of(graph_of(model, "as_is"), *[unseen.inputs[name] for name in names], device=device)
    return score_of(answers[PROBABILITIES], unseen.labels)
