"""What networks and served graphs return, whether they have one member or several, an action-unit head or none.

In training mode a network returns logits, or `Outputs`. A network whose attribute `members` is above 1 is an ensemble
of that many independent networks under one name: training calls it on images float32 [members, N, 3, 28, 28], each
member's own variation of the same N samples, and member i maps images[i] alone, so that the sum of the members' losses
trains each as if it were by itself. Any other network gets [N, 3, 28, 28] and counts as one member.

In evaluation mode every network takes [N, 3, 28, 28]; what the members say is averaged in the served graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from server.contract import PROBABILITIES

ACTION_UNITS = "action_units"
"""Output float32 [N, 2, units]: probability that a unit moves the image-left and the image-right side."""


class Outputs(NamedTuple):
    """`logits` float32 [members, N, classes], and `units` float32 [members, N, 2, units], the logits of each action
    unit on the image-left and the image-right side (columns as `synthesis.action_units.UNITS`), where there is a head.
    """

    logits: Tensor
    units: Tensor | None = None


def as_outputs(answer: Tensor | Outputs) -> Outputs:
    """`answer` itself, or plain logits float32 [N, classes] as those of one member."""
    return answer if isinstance(answer, Outputs) else Outputs(answer[None])


def members_of(network: nn.Module) -> int:
    """How many independent networks `network` holds."""
    return int(getattr(network, "members", 1))


def named_outputs(answer: Tensor | Mapping[str, Tensor] | tuple[Any, ...]) -> dict[str, Tensor]:
    """The outputs of a served graph by name: those of a mapping or a NamedTuple, whose fields bear the names of the
    contract; a plain tensor is the probabilities. Outputs that are None are left out.
    """
    if isinstance(answer, Tensor):
        return {PROBABILITIES: answer}
    named = answer if isinstance(answer, Mapping) else answer._asdict()  # type: ignore[attr-defined]
    return {name: value for name, value in named.items() if value is not None}
