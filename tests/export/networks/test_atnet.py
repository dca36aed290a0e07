"""ATNet against the numbers of its source."""

from __future__ import annotations

import torch
from torch import nn

from export.networks.atnet import CELLS, STEPS, ATNet


def _count(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def test_it_has_the_published_parameters() -> None:
    """With the second bias of every gate that PyTorch has and Caffe has not."""
    with torch.device("meta"):
        network = ATNet()
    assert _count(network.trunk) == 4_897_794
    assert _count(network.memory) == 3_416_064
    assert _count(network.head) == 3_075
    assert _count(network) == 8_316_933
    second_biases = sum(layer.cell.bias_hh_l0.numel() for layer in network.memory)
    assert _count(network) - second_biases == 8_312_837


def test_both_streams_have_length_one() -> None:
    """So that neither drowns the other, even where nothing moved."""
    torch.manual_seed(0)
    network = ATNet().eval()
    sequence = torch.cat([torch.zeros(1, STEPS, 2 * CELLS), torch.randn(1, STEPS, 2 * CELLS)])
    with torch.inference_mode():
        spatial, temporal = network.spatial(255 * torch.rand(1, 1, 224, 224)), network.temporal(sequence)
    torch.testing.assert_close(spatial.norm(dim=1), torch.ones(1))
    assert temporal.isfinite().all()
    torch.testing.assert_close(temporal[1].norm(), torch.tensor(1.0))
    assert temporal[0].norm() <= 1 + 1e-5
