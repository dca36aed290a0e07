"""The loss of classes and of action units."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from export.losses import VISIBLE, Loss
from export.networks.outputs import Outputs

LABELS = torch.tensor([0, 1, 2, 0])


def _outputs(members: int) -> Outputs:
    torch.manual_seed(0)
    return Outputs(torch.randn(members, 4, 3, requires_grad=True), torch.randn(members, 4, 2, 5, requires_grad=True))


def test_members_are_trained_apart() -> None:
    """The loss of an ensemble is the sum of its members' losses, so a member's gradient is that of it alone."""
    outputs, strengths = _outputs(2), torch.rand(2, 4, 2, 5)
    loss = Loss(None, 0.05, 2.0)
    both = loss(outputs, LABELS, strengths)
    parts = [slice(0, 1), slice(1, 2)]
    alone = [loss(Outputs(outputs.logits[i], outputs.units[i]), LABELS, strengths[i]) for i in parts]
    torch.testing.assert_close(both, alone[0] + alone[1])
    together = torch.autograd.grad(both, outputs.logits, retain_graph=True)[0][1]
    torch.testing.assert_close(together, torch.autograd.grad(alone[1], outputs.logits)[0][1])


def test_units_are_asked_whether_they_can_be_seen() -> None:
    """A unit counts from the visible strength on, with its weight beside the cross entropy."""
    outputs = _outputs(1)
    strengths = torch.full((1, 4, 2, 5), VISIBLE - 0.01)
    strengths[..., 0] = VISIBLE
    target = torch.zeros(4, 2, 5)
    target[..., 0] = 1
    expected = functional.cross_entropy(outputs.logits[0], LABELS)
    expected = expected + 2 * functional.binary_cross_entropy_with_logits(outputs.units[0], target)
    torch.testing.assert_close(Loss(None, 0.0, 2.0)(outputs, LABELS, strengths), expected)


def test_unknown_units_ask_nothing() -> None:
    """Samples whose units are not known give the units no gradient, and none of them leaves the classes alone."""
    outputs = _outputs(1)
    strengths = torch.rand(1, 4, 2, 5)
    strengths[:, 1:] = torch.nan
    loss = Loss(None, 0.0, 2.0)
    gradient = torch.autograd.grad(loss(outputs, LABELS, strengths), outputs.units)[0]
    assert gradient[:, 0].abs().min() > 0
    assert not gradient[:, 1:].any()
    plain = functional.cross_entropy(outputs.logits[0], LABELS)
    torch.testing.assert_close(loss(outputs, LABELS, torch.full_like(strengths, torch.nan)), plain)
    torch.testing.assert_close(loss(outputs, LABELS, None), plain)
    torch.testing.assert_close(loss(Outputs(outputs.logits), LABELS, strengths), plain)


def test_class_weights_multiply_a_sample() -> None:
    """Classes of weight 0 do not count."""
    outputs = Outputs(torch.tensor([[[9.0, 0, 0], [9.0, 0, 0]]]))
    weighted = Loss(torch.tensor([1.0, 0.0, 1.0]), 0.0, 2.0)
    assert float(weighted(outputs, torch.tensor([0, 1]), None)) == pytest.approx(0, abs=1e-3)
