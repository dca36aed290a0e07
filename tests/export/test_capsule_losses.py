"""Margins on the lengths of capsules."""

from __future__ import annotations

import torch

from export.capsule_losses import expressions_missed


def test_margins_are_met_at_nine_and_one_tenth() -> None:
    """Nothing is lost within them; beyond, squares, and half of them for classes that are absent."""
    labels = torch.tensor([1])
    assert expressions_missed(torch.tensor([[0.1, 0.9, 0.05]]), labels) == 0
    found = expressions_missed(torch.tensor([[0.3, 0.5, 0.1]]), labels)
    torch.testing.assert_close(found, torch.tensor(0.4**2 + 0.5 * 0.2**2))
