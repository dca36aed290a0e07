"""The settings of a training, all fixed before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch

from server.errors import ConfigurationError

Device: TypeAlias = Literal["cpu", "cuda"]


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
    unit_weight: float = 2.0


SYNTHETIC_SAMPLES = 28_500
SYNTHETIC_PLAN = TrainingPlan()
FOLDER_PLAN = TrainingPlan(epochs=60, batch_size=64)
"""For a few hundred real samples: about half as many steps as the synthetic plan takes, in smaller batches."""
TUNING_PLAN = TrainingPlan(epochs=14, batch_size=64, learning_rate=1e-3, weight_decay=0.05, label_smoothing=0.1)
"""From weights that know the task: fewer and smaller steps than `FOLDER_PLAN`."""


def plan_for(
    *, synthetic: bool, seed: int, epochs: int | None, tuned: bool = False, changes: Mapping[str, Any] | None = None
) -> TrainingPlan:
    """The plan of this kind of data with a seed, and a number of epochs where one is asked for.

    `synthetic` is true where any of the data is; `tuned` asks for the plan from weights that know the task. `changes`
    are what a network (see `networks.network.Network`) wants otherwise on synthetic data.
    """
    if tuned or not synthetic:
        plan = TUNING_PLAN if tuned else FOLDER_PLAN
    else:
        plan = replace(SYNTHETIC_PLAN, **(changes or {}))
    return replace(plan, seed=seed, epochs=epochs or plan.epochs)


def check_device(device: Device) -> None:
    """Raises `ConfigurationError` where PyTorch cannot compute on `device`."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("PyTorch sees no CUDA device here: it needs an NVIDIA GPU and a CUDA build of torch")
