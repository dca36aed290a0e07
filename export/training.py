"""Trains a flow network and returns the weights of the last epoch: no epoch is ever chosen by a score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from export.checkpoint import Checkpoint, checkpoint_bytes
from export.data.flow_images import FlowImages
from export.networks.outputs import members_of
from export.networks.registry import find_network
from export.training_data import TrainingData
from export.training_plan import Device, TrainingPlan, check_device
from export.training_progress import EpochReport
from export.training_run import TrainingRun, reproducible
from server.errors import OptionError


def train(
    network: str,
    data: TrainingData,
    plan: TrainingPlan,
    *,
    command: str,
    start: Checkpoint | None = None,
    class_weights: Sequence[float] | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    device: Device = "cpu",
    folder: Path | None = None,
    resume: bool = False,
) -> Checkpoint:
    """Train `network` on `data`, from random weights or from `start`; held-out samples are only looked at.

    `class_weights`, one for each label, multiply the loss of a sample. The same plan and data give the same weights on
    the CPU, where it runs on one thread, on which sums have one order; on CUDA they may differ in the last bits. After
    every epoch the state and the log of the run are written to `folder` where one is given. With `resume` a run goes on
    from the state there, on any device, and on the CPU ends with the very weights that it would have had without the
    interruption; where `folder` holds no state it begins. Class shares that `start` was adapted to (`prior_ratio`) end
    with it: the result learnt the shares of `data`.

    Raises `OptionError` for an unknown network, for numbers out of range, for data of another recipe than the
    network's, and for a `start` whose input normalisation is not the one that training uses; `InputError` as
    `read_state` does; `ConfigurationError` as `check_device` does.
    """
    if plan.epochs < 1 or plan.batch_size < 2:
        raise OptionError("training needs at least one epoch and batches of at least two", stage="training")
    check_device(device)
    architecture = find_network(network)
    weights = start.weights if start else architecture.trained
    if weights.preparation != architecture.trained.preparation:
        raise OptionError(
            f"training can only start from weights whose input is {architecture.trained.preparation}, "
            f"not {weights.preparation}",
            option="weights",
        )
    if data.recipe != architecture.recipe:
        raise OptionError(f"{network} is trained on {architecture.recipe}; this data is {data.recipe}", option="data")
    with reproducible(device):
        torch.manual_seed(plan.seed)
        model = start.build() if start else architecture.build(**weights.arguments())
        run = TrainingRun(
            model.to(device),
            data,
            plan,
            class_weights,
            device,
            preparation=weights.preparation,
            turns=start is None,
        )
        if folder:
            run.keep_state(folder, resume=resume, network=network, start_sha256=start.sha256 if start else "")
        run.train(on_epoch)
        if data.calibration:
            run.calibrate(data.calibration)
    held_out = run.held_out()
    real_images = data.real_images.union(start.training.get("seen_images", ()) if start else ())
    training = {
        "data": data.description,
        "data_sha256": data.sha256,
        "seen_sha256": sorted(
            seen_data(start.training if start else {}) | {data.sha256, *(source.sha256 for source in data.sources)}
        ),
        **({"seen_images": sorted(real_images)} if real_images else {}),
        "samples": len(data.labels),
        "sources": [asdict(source) for source in data.sources],
        "start_sha256": start.sha256 if start else "",
        **asdict(plan),
        "device": ", ".join(run.devices),
        "validation": {
            "data": f"{len(data.validation_labels)} samples held out from training",
            "samples": len(data.validation_labels),
            **{name: value for name, value in held_out.record().items() if value is not None},
            **({"units": held_out.units.summary()["units"]} if held_out.units else {}),
        },
        "command": command,
    }
    state = {name: value.cpu() for name, value in model.state_dict().items()}
    checkpoint = Checkpoint(network, "trained", weights, state, training, sha256="")
    return replace(checkpoint, sha256=sha256(checkpoint_bytes(checkpoint)).hexdigest())


def check_trainable(network: str) -> None:
    """Ask `network` for one step forward, so that one that cannot be trained says so before any data is made.

    Raises `OptionError` for an unknown network and as the network itself does.
    """
    architecture = find_network(network)
    with reproducible("cpu"):
        model = architecture.build(**architecture.trained.arguments()).train()
        if hasattr(model, "solve"):
            return
        parts = members_of(model)
        inputs = [torch.zeros(2, *spec.dims) for spec in architecture.inputs]
        model(torch.stack(inputs * parts) if parts > 1 else inputs[0], *inputs[1:])


def seen_data(training: Mapping[str, Any]) -> set[str]:
    """Hashes of all data that weights with this `training` entry have seen, those that they started from included."""
    return {*training.get("seen_sha256", ()), training.get("data_sha256", "")} - {""}


def samples_seen(training: Mapping[str, Any], data: FlowImages) -> int:
    """How many samples of `data` weights with this `training` entry have seen, in this folder or in another one."""
    if data.sha256 in seen_data(training):
        return len(data.labels)
    known = set(training.get("seen_images", ()))
    return sum(image in known for image in data.image_hashes())
