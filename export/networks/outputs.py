"""What networks and served graphs return, whether they have one member or several, an action-unit head or none.

In training mode a network returns logits, or `Outputs`. A network whose attribute `members` is above 1 is an ensemble
of that many independent networks under one name: training calls it on images float32 [members, N, 3, 28, 28], each
member's own variation of the same N samples, and member i maps images[i] alone, so that the sum of the members' losses
trains each as if it were by itself. Any other network gets [N, 3, 28, 28] and counts as one member.

A network whose attribute `turns` is k lets each member learn in every k-th step only, so that its members see different
parts of the data, unless it starts from weights that have been trained. It is then called with the images and the
numbers of the members they are for.

A network whose attribute `unit_variation` is a number has an action-unit head apart from its members. Where the units
of the samples are known one more is put last, [members + 1, N, 3, 28, 28], varied by that share of what members see.

In evaluation mode every network takes [N, 3, 28, 28]; what the members say is averaged in the served graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from torch import Tensor, nn

from server.contract import PROBABILITIES
from server.types import Float32Array

ACTION_UNITS = "action_units"
"""Output float32 [N, 2, units]: probability that a unit moves the image-left and the image-right side."""


_BATCH = 512


class Outputs(NamedTuple):
    """`logits` float32 [members, N, classes], and `units` float32 [heads, N, 2, units], the logits of each action unit
    on the image-left and the image-right side (columns as `synthesis.action_units.UNITS`), where there is a head: one
    for each member, or one apart from them. `proposals` float32 [members, N, classes] say of each class by itself
    whether the sample shows it, where a network has a detector of each. `attention` float32 [N, H, W] is how much each
    place counted, 0..1, where a network weighs places and says so.
    """

    logits: Tensor
    units: Tensor | None = None
    proposals: Tensor | None = None
    attention: Tensor | None = None


class Calibrated(nn.Module):
    """A network with an action-unit head whose answers the served graph corrects: `temperature` float32 [] and
    `unit_shift` float32 [units] are not trained but found afterwards, by `export.calibration_fit`.
    """

    temperature: Tensor
    unit_shift: Tensor

    def __init__(self, units: int) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("unit_shift", torch.zeros(units))


def as_outputs(answer: Tensor | Outputs) -> Outputs:
    """`answer` itself, or plain logits float32 [N, classes] as those of one member."""
    return answer if isinstance(answer, Outputs) else Outputs(answer[None])


def members_of(network: nn.Module) -> int:
    """How many independent classifiers `network` holds."""
    return int(getattr(network, "members", 1))


def members_in(network: nn.Module, step: int) -> tuple[int, ...]:
    """The members of `network` that learn in step `step`, counted from 0."""
    turns = int(getattr(network, "turns", 1))
    return tuple(member for member in range(members_of(network)) if (member + step) % turns == 0)


def variations_of(network: nn.Module, members: int, *, units_known: bool) -> tuple[float, ...]:
    """How much the images of each part of `network` are varied in training: 1, in full, for each of `members`, and
    what an action-unit head apart from them asks for.
    """
    own = getattr(network, "unit_variation", None)
    head = () if own is None or not units_known else (float(own),)
    return (1.0,) * members + head


def answers_of(graph: nn.Module, *inputs: npt.NDArray[Any], device: str = "cpu") -> dict[str, Float32Array]:
    """The outputs of a served graph on `device` for its `inputs` [N, ...], by name: float32 [N, ...] each.

    Asked in batches of one size, which bounds the memory that intermediate values take.
    """
    parts: list[dict[str, Tensor]] = []
    with torch.inference_mode():
        # One batch at least, which tells the names and shapes of the outputs of no sample.
        for first in range(0, max(len(inputs[0]), 1), _BATCH):
            batch = [torch.from_numpy(each[first : first + _BATCH]).to(device).float() for each in inputs]
            parts.append(named_outputs(graph(*batch)))
    return {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}


def named_outputs(answer: Tensor | Mapping[str, Tensor] | tuple[Any, ...]) -> dict[str, Tensor]:
    """The outputs of a served graph by name: those of a mapping or a NamedTuple, whose fields bear the names of the
    contract; a plain tensor is the probabilities. Outputs that are None are left out.
    """
    if isinstance(answer, Tensor):
        return {PROBABILITIES: answer}
    named = answer if isinstance(answer, Mapping) else answer._asdict()  # type: ignore[attr-defined]
    return {name: value for name, value in named.items() if value is not None}
