"""Dual-Inception against the numbers of its source."""

from __future__ import annotations

import torch

from export.networks.dual_inception import DualInception, FlowStreams


def _parameters(network: torch.nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def test_shapes_and_counts_are_those_of_the_source() -> None:
    """Each stream is 24 x 14 x 14, then 64 x 7 x 7; together they have 6272 numbers, and 11,620 parameters each."""
    streams = FlowStreams()
    images = torch.rand(2, 3, 28, 28)
    first = streams.horizontal[0](images[:, :1])
    assert first.shape == (2, 24, 14, 14)
    assert streams.horizontal[1](first).shape == (2, 64, 7, 7)
    assert streams(images).flatten(1).shape == (2, 6272)
    assert _parameters(streams.horizontal) == _parameters(streams.vertical) == 11_620
    assert _parameters(DualInception()) == 6_449_867


def test_strain_is_not_looked_at() -> None:
    """The network sees u and v alone."""
    network = DualInception().eval()
    images = torch.rand(2, 3, 28, 28)
    other = images.clone()
    other[:, 2] = 0
    assert torch.equal(network(images), network(other))
    other[:, 1] = 0
    assert not torch.equal(network(images), network(other))
