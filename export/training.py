"""Trains a flow network and returns the weights of the last epoch: no epoch is ever chosen by a score."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

import torch
from torch import Tensor, nn

from export.augmentation import augment
from export.checkpoint import Checkpoint, checkpoint_bytes
from export.networks.blocks import NoseCentred, Preparation, flow_graph
from export.networks.registry import find_network
from export.synthesis.flow_fields import one_thread
from export.training_data import TrainingData
from server.errors import OptionError
from server.types import Float32Array

_PREPARATION: Preparation = "nose_centred"


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Settings fixed before training. AdamW under a one-cycle schedule that spends `warm_up` of its steps rising."""

    epochs: int = 6
    seed: int = 0
    batch_size: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    warm_up: float = 0.15
    label_smoothing: float = 0.05


SYNTHETIC_SAMPLES = 28_500
SYNTHETIC_PLAN = TrainingPlan()
FOLDER_PLAN = TrainingPlan(epochs=60, batch_size=64)
"""For a few hundred real samples: about half as many steps as the synthetic plan takes, in smaller batches."""


@dataclass(frozen=True, slots=True)
class EpochReport:
    """After an epoch: mean training loss, accuracy on held-out samples, their probabilities float32 [N, classes], and
    the time the rest will take.
    """

    epoch: int
    epochs: int
    loss: float
    validation_accuracy: float
    validation_probabilities: Float32Array
    remaining_s: float


def plan_for(*, synthetic: bool, seed: int, epochs: int | None) -> TrainingPlan:
    """The plan of this kind of data with a seed, and a number of epochs where one is asked for."""
    plan = SYNTHETIC_PLAN if synthetic else FOLDER_PLAN
    return replace(plan, seed=seed, epochs=epochs or plan.epochs)


def train(
    network: str,
    data: TrainingData,
    plan: TrainingPlan,
    *,
    command: str,
    start: Checkpoint | None = None,
    class_weights: Sequence[float] | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> Checkpoint:
    """Train `network` on `data`, from random weights or from `start`. The same plan and data give the same weights.

    `class_weights`, one for each label, multiply the loss of a sample; held-out samples are only looked at.
    Runs on one thread, on which sums have one order. Raises `OptionError` for an unknown network, for numbers out of
    range, and for a `start` whose input normalisation is not the one that training uses.
    """
    if plan.epochs < 1 or plan.batch_size < 2:
        raise OptionError("training needs at least one epoch and batches of at least two", stage="training")
    architecture = find_network(network)
    weights = start.weights if start else architecture.trained
    if weights.preparation != _PREPARATION:
        raise OptionError(
            f"training can only start from weights whose input is {_PREPARATION}, not {weights.preparation}",
            option="weights",
        )
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        model = start.build() if start else architecture.build(padding=weights.padding)
        accuracy = _fit(model, data, plan, class_weights, on_epoch)
    training = {
        "data": data.description,
        "data_sha256": data.sha256,
        "samples": len(data.labels),
        "start_sha256": start.sha256 if start else "",
        **asdict(plan),
        "validation": {
            "data": f"{len(data.validation_labels)} samples held out from training",
            "samples": len(data.validation_labels),
            "accuracy": round(accuracy, 4),
        },
        "command": command,
    }
    checkpoint = Checkpoint(network, "trained", weights, model.state_dict(), training, sha256="")
    return replace(checkpoint, sha256=sha256(checkpoint_bytes(checkpoint)).hexdigest())


def _fit(
    model: nn.Module,
    data: TrainingData,
    plan: TrainingPlan,
    class_weights: Sequence[float] | None,
    on_epoch: Callable[[EpochReport], None] | None,
) -> float:
    loss_of = nn.CrossEntropyLoss(
        weight=None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32),
        label_smoothing=plan.label_smoothing,
    )
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
    steps = plan.epochs * -(-len(labels) // plan.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=plan.learning_rate, total_steps=steps, pct_start=plan.warm_up
    )
    started = time.monotonic()
    accuracy = 0.0
    for epoch in range(1, plan.epochs + 1):
        model.train()
        total = 0.0
        for batch in torch.split(torch.randperm(len(labels)), plan.batch_size):
            loss = _step(model, optimizer, images[batch], labels[batch], loss_of)
            schedule.step()
            total += loss * len(batch)
        with torch.inference_mode():
            held_out = torch.from_numpy(data.validation_images).float()
            probabilities: Float32Array = flow_graph(model, _PREPARATION)(held_out).numpy()
        accuracy = float((probabilities.argmax(1) == data.validation_labels).mean())
        if on_epoch:
            remaining_s = (time.monotonic() - started) / epoch * (plan.epochs - epoch)
            on_epoch(EpochReport(epoch, plan.epochs, total / len(labels), accuracy, probabilities, remaining_s))
    return accuracy


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor, loss_of: nn.Module
) -> float:
    logits = model(augment(NoseCentred()(images.float())))
    loss = loss_of(logits, labels)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimizer.step()
    return float(loss.detach())
