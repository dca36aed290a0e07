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

import torch
from torch import nn

from export.cards import RENDERED_DATA
from export.checkpoint import Checkpoint, checkpoint_bytes
from export.losses import Loss
from export.networks.blocks import graph_of
from export.networks.outputs import answers_of, as_outputs
from export.networks.registry import find_network
from export.synthesis.events import EventSamples
from export.training_plan import Device, TrainingPlan, check_device
from export.training_progress import EpochReport, HeldOutScore, score_of
from export.training_run import batches_of, reproducible
from server.contract import PROBABILITIES
from server.errors import OptionError

HELD_OUT_EVERY = 6
"""Of so many people one is held out."""
_LARGEST_GRADIENT = 1.0
"""Norm to which gradients are cut: wide dense layers on few samples diverge without."""


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
    `solve`, called with inputs, labels and people, is fitted by that alone. Raises `OptionError` for an unknown
    network, for samples of another recipe, and where there are too few people to hold one out; `ConfigurationError` as
    `check_device` does.
    """
    architecture = find_network(network)
    check_device(device)
    if samples.recipe != architecture.recipe:
        raise OptionError(f"{network} is trained on {architecture.recipe}, not on {samples.recipe}", option="data")
    held = samples.people % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
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
        solve: Callable[..., None] | None = getattr(model, "solve", None)
        if solve:
            solve([torch.from_numpy(seen.inputs[name]).float() for name in names], seen.labels, seen.people)
            measured = _measure(model, names, unseen, device)
        else:
            measured = _train(model, names, plan, seen=seen, unseen=unseen, on_epoch=on_epoch, device=device)
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
    state = {name: value.cpu() for name, value in model.state_dict().items()}
    checkpoint = Checkpoint(network, "trained", architecture.trained, state, training, sha256="")
    return replace(checkpoint, sha256=sha256(checkpoint_bytes(checkpoint)).hexdigest())


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
    labels = torch.from_numpy(seen.labels)
    steps = len(batches_of(torch.arange(len(labels)), plan.batch_size))
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=plan.learning_rate, total_steps=plan.epochs * steps, pct_start=plan.warm_up
    )
    loss = Loss(None, plan.label_smoothing, plan.unit_weight)
    began = time.monotonic()
    for epoch in range(1, plan.epochs + 1):
        started = time.monotonic()
        model.train()
        total = 0.0
        for batch in batches_of(torch.randperm(len(labels)), plan.batch_size):
            outputs = as_outputs(model(*[each[batch].to(device).float() for each in inputs]))
            cost = loss(outputs, labels[batch].to(device), None)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(cost)
            nn.utils.clip_grad_norm_(model.parameters(), _LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            total += float(cost.detach()) * len(batch)
        score = _measure(model, names, unseen, device)
        now = time.monotonic()
        if on_epoch:
            remaining_s = (now - began) / epoch * (plan.epochs - epoch)
            on_epoch(EpochReport(epoch, plan.epochs, total / len(labels), score, now - started, remaining_s))
    return score


def _measure(model: nn.Module, names: Sequence[str], unseen: EventSamples, device: Device) -> HeldOutScore:
    answers = answers_of(graph_of(model, "as_is"), *[unseen.inputs[name] for name in names], device=device)
    return score_of(answers[PROBABILITIES], unseen.labels)
