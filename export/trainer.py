"""What happens to one batch of rendered events: the step that most networks take, and the shape of any other.

`export.event_training` goes over the data. A network that learns otherwise than by cross entropy of its answer says so
in its registration: `networks.network.Network.trainer` makes a `Trainer`, and `extras` what it wants to be told besides
the tensors of the recipe.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from export.losses import Loss
from export.networks.outputs import as_outputs
from export.training_plan import TrainingPlan

LOSS = "loss"
"""The name of the loss that is reported first; a cost is minimised by it."""
_LARGEST_GRADIENT = 1.0
"""Norm to which gradients are cut: wide dense layers on few samples diverge without."""


class Trainer(ABC):
    """Teaches one network, batch by batch. It is made once, on the device of the network, and holds all that lasts from
    one batch to the next. All that it draws comes from the generators of torch, which are seeded before it is made.
    """

    @abstractmethod
    def step(self, inputs: Sequence[Tensor], labels: Tensor, extras: Mapping[str, Tensor]) -> Mapping[str, float]:
        """Learn from a batch; the network is in training mode. Losses before the step, by name, `LOSS` among them.

        `inputs` float32 [N, ...] in the order of the registration, `labels` int64 [N], `extras` float32 [N, ...] by the
        names that `Network.extras` gives them.
        """

    def measure(self, inputs: Sequence[Tensor], labels: Tensor, extras: Mapping[str, Tensor]) -> Mapping[str, float]:
        """Means over a batch of held-out samples, by name, of whatever is worth telling besides the score of the class.
        The network is in evaluation mode; nothing is learnt.
        """
        return {}

    def companions(self) -> Mapping[str, nn.Module]:
        """Networks that were trained along and are kept beside the weights, by name; never served."""
        return {}


TrainerFactory: TypeAlias = Callable[[nn.Module, TrainingPlan, int], Trainer]
"""From a network, the settings and the number of all steps to come to what trains it."""

Cost: TypeAlias = Callable[[nn.Module, Sequence[Tensor], Tensor, Mapping[str, Tensor]], Mapping[str, Tensor]]
"""From a network, inputs, labels and extras (see `Trainer.step`) to losses float32 [], of which `LOSS` is minimised and
the others are told.
"""


class OneCycleTrainer(Trainer):
    """AdamW under a one-cycle schedule, gradients cut to norm 1, on any `cost`."""

    def __init__(self, model: nn.Module, plan: TrainingPlan, steps: int, cost: Cost) -> None:
        self._model, self._cost = model, cost
        self._optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, max_lr=plan.learning_rate, total_steps=steps, pct_start=plan.warm_up
        )

    def step(self, inputs: Sequence[Tensor], labels: Tensor, extras: Mapping[str, Tensor]) -> Mapping[str, float]:
        """One step; every loss of the cost."""
        costs = self._cost(self._model, inputs, labels, extras)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(costs[LOSS])
        nn.utils.clip_grad_norm_(self._model.parameters(), _LARGEST_GRADIENT)
        self._optimizer.step()
        self._schedule.step()
        return {name: float(cost.detach()) for name, cost in costs.items()}


def class_trainer(model: nn.Module, plan: TrainingPlan, steps: int) -> Trainer:
    """The usual one: cross entropy of the class."""
    loss = Loss(None, plan.label_smoothing, plan.unit_weight)

    def cost(
        model: nn.Module, inputs: Sequence[Tensor], labels: Tensor, extras: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        return {LOSS: loss(as_outputs(model(*inputs)), labels, None)}

    return OneCycleTrainer(model, plan, steps, cost)
