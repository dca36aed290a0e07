"""Seeded draws."""

from __future__ import annotations

import torch

from export.synthesis.draws import Draws


def test_same_seed_same_sequence() -> None:
    """Draws repeat with their seed and differ between seeds, also when only the second number differs."""
    first, again, other = Draws(50, (1, 0)), Draws(50, (1, 0)), Draws(50, (1, 1))
    assert torch.equal(first.normal(3), again.normal(3))
    assert not torch.equal(first.normal(3), other.normal(3))


def test_weighted_choice_follows_the_weights() -> None:
    """Each row has its own weights; a weight of 0 is never chosen."""
    weights = torch.tensor([[0.0, 1.0, 3.0], [1.0, 0.0, 0.0]]).repeat_interleave(2000, 0)
    chosen = Draws(4000, (0,)).weighted(weights)
    assert not (chosen[:2000] == 0).any()
    assert abs((chosen[:2000] == 2).float().mean() - 0.75) < 0.04
    assert not chosen[2000:].any()


def test_uniform_stays_in_range() -> None:
    """Values lie in the half-open interval and reach both ends nearly."""
    values = Draws(5000, (0,)).uniform(-2.0, 3.0)
    assert -2 <= values.min() < -1.98
    assert 2.98 < values.max() < 3
