"""The shift to other shares of the classes inside the served graph."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from export.networks.prior_shift import PriorShift


class _Answer(NamedTuple):
    probabilities: Tensor
    other: Tensor


class _Several(nn.Module):
    def forward(self, flow: Tensor) -> _Answer:
        return _Answer(flow, flow * 2)


def test_probabilities_are_multiplied_and_sum_to_one() -> None:
    """Each class counts as often as it became more frequent."""
    found = PriorShift(nn.Identity(), (2.0, 1.0, 0.5))(torch.tensor([[0.2, 0.4, 0.4]]))
    torch.testing.assert_close(found, torch.tensor([[0.4, 0.4, 0.2]]))


def test_other_outputs_stay() -> None:
    """A graph that answers more than probabilities keeps the rest as it was."""
    given = torch.tensor([[0.5, 0.25, 0.25]])
    found = PriorShift(_Several(), (1.0, 2.0, 2.0))(given)
    torch.testing.assert_close(found.probabilities, torch.full((1, 3), 1 / 3))
    torch.testing.assert_close(found.other, given * 2)
