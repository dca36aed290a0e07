"""The loop of a training: steps, epochs, and the state from which it can go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from export.augmentation import augment, swap_sides
from export.calibration_fit import calibrate
from export.losses import Loss
from export.networks.blocks import Preparation, input_preparation
from export.networks.outputs import Calibrated, as_outputs, members_in, members_of, variations_of
from export.synthesis.flow_fields import FlowSamples, one_thread
from export.training_data import TrainingData
from export.training_plan import Device, TrainingPlan
from export.training_progress import EpochReport, HeldOut, HeldOutScore
from export.training_state import TrainingState, identity_of, read_state, write_state


@contextmanager
def reproducible(device: Device) -> Iterator[None]:
    """One thread, generators that are put back, and no choice of algorithms by their speed."""
    deterministic, benchmark = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        with one_thread(), torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
            yield
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, benchmark


class TrainingRun:
    """One training from its first epoch, or from the one where it stopped, to its last."""

    def __init__(
        self,
        model: nn.Module,
        data: TrainingData,
        plan: TrainingPlan,
        class_weights: Sequence[float] | None,
        device: Device,
        *,
        preparation: Preparation,
        turns: bool = True,
    ) -> None:
        self._model, self._data, self._plan, self._device = model, data, plan, device
        self._class_weights, self._turns = class_weights, turns
        self._folder: Path | None = None
        self._identity: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.devices: list[str] = [name for name in get_args(Device) if name == device]
        self._preparation: Preparation = preparation
        self._prepare = input_preparation(preparation).to(device)
        self._held_out = HeldOut(data, preparation, device)
        self._measured: HeldOutScore | None = None
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32, device=device)
        self._loss = Loss(weights, plan.label_smoothing, plan.unit_weight)
        self._images, self._labels = torch.from_numpy(data.images).to(device), torch.from_numpy(data.labels).to(device)
        self._strengths = None if data.action_units is None else torch.from_numpy(data.action_units).to(device)
        self._optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            max_lr=plan.learning_rate,
            total_steps=plan.epochs * len(batches_of(torch.arange(data.epoch_samples), plan.batch_size)),
            pct_start=plan.warm_up,
        )

    def keep_state(self, folder: Path, *, resume: bool, **inputs: str) -> None:
        """Write the state to `folder` after every epoch; with `resume`, go on from what is there."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._identity = identity_of(
            self._plan,
            class_weights=None if self._class_weights is None else list(self._class_weights),
            content_sha256=self._data.content_sha256(),
            **inputs,
        )
        state = read_state(folder, self._identity) if resume else None
        if state is None:
            return
        self._model.load_state_dict(state.model)
        self._optimizer.load_state_dict(dict(state.optimizer))
        self._schedule.load_state_dict(dict(state.schedule))
        self.history = [dict(record) for record in state.history]
        # These very strings, not equal ones from the file: pickles refer back to a string that they have written.
        self.devices = [name for name in get_args(Device) if name in {*state.devices, self._device}]
        torch.set_rng_state(state.generators["cpu"])
        if self._device == "cuda" and "cuda" in state.generators:
            torch.cuda.set_rng_state(state.generators["cuda"])

    def train(self, on_epoch: Callable[[EpochReport], None] | None) -> None:
        """All epochs that are left; each is written down before `on_epoch` hears of it."""
        began, first = time.monotonic(), len(self.history) + 1
        for epoch in range(first, self._plan.epochs + 1):
            started = time.monotonic()
            loss = self._epoch()
            self._measured = measured = self._held_out.measure(self._model)
            now = time.monotonic()
            report = EpochReport(
                epoch=epoch,
                epochs=self._plan.epochs,
                loss=loss,
                held_out=measured,
                seconds=now - started,
                remaining_s=(now - began) / (epoch - first + 1) * (self._plan.epochs - epoch),
            )
            self.history.append(report.record())
            if self._folder:
                write_state(self._folder, self._state(epoch))
            if on_epoch:
                on_epoch(report)

    def calibrate(self, samples: FlowSamples) -> None:
        """Calibrate the network, where it can be, on samples that it has not seen."""
        if isinstance(self._model, Calibrated):
            self._measured = None
            calibrate(self._model.cpu(), self._preparation, samples)
            self._model.to(self._device)

    def held_out(self) -> HeldOutScore:
        """The score of the network as it is."""
        return self._measured or self._held_out.measure(self._model)

    def _epoch(self) -> float:
        """Train every sample of one epoch once; the mean loss of a member."""
        self._model.train()
        total, seen = 0.0, 0
        batches = batches_of(_epoch_order(self._data), self._plan.batch_size)
        for step, batch in enumerate(batches, start=len(self.history) * len(batches)):
            total += self._step(batch.to(self._device), step) * len(batch)
            self._schedule.step()
            seen += len(batch)
        return total / seen

    def _step(self, batch: Tensor, step: int) -> float:
        """Step `step` on the samples `batch`, which every part of the network that learns in it sees in a variation of
        its own; the mean loss of a member.
        """
        images = self._prepare(self._images[batch].float())
        members = members_in(self._model, step) if self._turns else tuple(range(members_of(self._model)))
        shares = variations_of(self._model, len(members), units_known=self._strengths is not None)
        varied = [augment(images, share) for share in shares]
        strengths = None
        if self._strengths is not None:
            chosen = self._strengths[batch]
            strengths = torch.stack([swap_sides(chosen, mirrored) for _, mirrored in varied])
        inputs = torch.stack([each.images for each in varied]) if len(varied) > 1 else varied[0].images
        answer = self._model(inputs) if len(members) == members_of(self._model) else self._model(inputs, members)
        loss = self._loss(as_outputs(answer), self._labels[batch], strengths)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimizer.step()
        return float(loss.detach()) / len(members)

    def _state(self, epoch: int) -> TrainingState:
        generators = {"cpu": torch.get_rng_state()}
        if self._device == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state()
        return TrainingState(
            identity=self._identity,
            epoch=epoch,
            model=dict(self._model.state_dict()),
            optimizer=self._optimizer.state_dict(),
            schedule=self._schedule.state_dict(),
            generators=generators,
            devices=self.devices,
            history=self.history,
        )


def _epoch_order(data: TrainingData) -> Tensor:
    """Rows of one epoch, shuffled: each once, or of every source as many as are drawn, in whole passes and a rest."""
    if not data.sources:
        return torch.randperm(len(data.labels))
    rows, first = [], 0
    for source in data.sources:
        passes = -(-source.drawn // source.samples)
        rows.append(first + torch.cat([torch.randperm(source.samples) for _ in range(passes)])[: source.drawn])
        first += source.samples
    order = torch.cat(rows)
    return order[torch.randperm(len(order))]


def batches_of(order: Tensor, size: int) -> list[Tensor]:
    """`order` in batches of `size`; a rest of one, which batch normalisation cannot take, joins the batch before."""
    batches = list(torch.split(order, size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches
