"""What networks and served graphs return."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from export.networks.outputs import Outputs, as_outputs, members_of, named_outputs


class _Served(NamedTuple):
    probabilities: Tensor
    action_units: Tensor | None


def test_plain_logits_are_those_of_one_member() -> None:
    """Networks without members or head need not know of either."""
    logits = torch.rand(5, 3)
    assert as_outputs(logits).logits.shape == (1, 5, 3)
    assert as_outputs(logits).units is None
    both = Outputs(logits[None], torch.rand(1, 5, 2, 4))
    assert as_outputs(both) is both


def test_a_network_has_one_member_unless_it_says_otherwise() -> None:
    """The attribute `members` counts."""
    network = nn.Linear(1, 1)
    assert members_of(network) == 1
    network.members = 5
    assert members_of(network) == 5


def test_outputs_of_a_graph_have_names() -> None:
    """A tensor is the probabilities; a mapping and a NamedTuple name what they hold; what is absent is left out."""
    one, two = torch.rand(2, 3), torch.rand(2, 2, 4)
    assert named_outputs(one) == {"probabilities": one}
    assert named_outputs({"probabilities": one, "action_units": two}) == {"probabilities": one, "action_units": two}
    assert named_outputs(_Served(one, two)).keys() == {"probabilities", "action_units"}
    assert named_outputs(_Served(one, None)).keys() == {"probabilities"}
