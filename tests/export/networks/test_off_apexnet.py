"""OFF-ApexNet as it is quoted."""

from __future__ import annotations

import torch

from export.networks.off_apexnet import OFFApexNet


def test_layers_have_the_quoted_sizes() -> None:
    """Two streams of 784 numbers and two dense layers of 1024."""
    network = OFFApexNet().eval()
    images = torch.rand(2, 3, 28, 28)
    assert network.horizontal(images[:, :1]).shape == (2, 784)
    dense = [layer for layer in network.head if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [(1568, 1024), (1024, 1024), (1024, 3)]
    assert sum(value.numel() for value in network.parameters()) == 2_664_475


def test_streams_have_weights_of_their_own() -> None:
    """Horizontal and vertical flow are not interchangeable."""
    network = OFFApexNet().eval()
    images = torch.rand(2, 3, 28, 28)
    assert not torch.equal(network(images), network(images[:, [1, 0, 2]]))
