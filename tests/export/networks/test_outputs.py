"""What networks and served graphs return."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from export.networks.outputs import Outputs, answers_of, as_outputs, members_of, named_outputs


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


def test_answers_do_not_depend_on_the_batch() -> None:
    """More images than one batch has, stored as bytes or as halves, come back in order; none come back as none."""
    images = torch.rand(1100, 3, 28, 28).mul(255).byte().numpy()
    graph = nn.Sequential(nn.Flatten(), nn.Linear(3 * 28 * 28, 3)).eval()
    sizes: list[int] = []
    graph.register_forward_hook(lambda _, given, __: sizes.append(len(given[0])))
    answers = answers_of(graph, images)["probabilities"]
    assert max(sizes) < len(images)
    assert sum(sizes) == len(images)
    whole = graph(torch.from_numpy(images).float()).detach().numpy()
    assert np.allclose(answers, whole, atol=1e-3)
    assert np.allclose(answers_of(graph, images.astype(np.float16))["probabilities"], whole, atol=1e-3)
    assert answers_of(graph, images[:0])["probabilities"].shape == (0, 3)
