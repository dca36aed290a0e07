"""The served graphs of the networks that see the face at the apex."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from export.networks.blocks import graph_of
from export.networks.registry import find_network
from export.onnx import onnx_bytes


@pytest.mark.parametrize("name", ["atnet", "capsulenet", "icegan", "micro_attention"])
def test_served_graph_answers_as_the_network_does(name: str) -> None:
    """ONNX Runtime gives the probabilities of the network as it was trained, for any batch."""
    torch.manual_seed(0)
    registered = find_network(name)
    network = registered.build()
    _settle(network, [torch.rand(4, *spec.dims) * (255 if spec.name == "apex" else 1) for spec in registered.inputs])
    random = np.random.default_rng(0)
    feeds = [
        {
            spec.name: (random.random((samples, *spec.dims)) * (255 if spec.name == "apex" else 1)).astype(np.float32)
            for spec in registered.inputs
        }
        for samples in (1, 5)
    ]
    with torch.inference_mode():
        expected = [
            graph_of(network, "as_is")(*[torch.from_numpy(value) for value in feed.values()]).numpy() for feed in feeds
        ]
    faster = getattr(network, "for_serving", None)
    graph = graph_of(faster() if faster else network, "as_is")
    session = onnxruntime.InferenceSession(onnx_bytes(graph, registered.inputs), providers=["CPUExecutionProvider"])
    for feed, wanted in zip(feeds, expected, strict=True):
        (found,) = session.run(["probabilities"], feed)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        assert wanted.max() < 0.999, "nothing is compared where the softmax is saturated"


def _settle(network: nn.Module, inputs: list[torch.Tensor]) -> None:
    """Let normalisation know its data, so that answers are not saturated."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(*inputs)
    network.eval()
