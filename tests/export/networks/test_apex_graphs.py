"""The served graphs of the networks that see the face at the apex."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from export.cards import build_contract
from export.checkpoint import Checkpoint
from export.networks.blocks import graph_of
from export.networks.registry import find_network
from export.onnx import onnx_bytes, served_graph


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


def test_attention_is_an_output_of_the_served_graph() -> None:
    """The graph of Micro-Attention tells how much each place counted, as torch does, in the shape that its contract
    promises; probabilities are what they are without.
    """
    torch.manual_seed(0)
    registered = find_network("micro_attention")
    network = registered.build()
    _settle(network, [255 * torch.rand(4, 1, 224, 224)])
    faces = (255 * np.random.default_rng(0).random((3, 1, 224, 224))).astype(np.float32)
    state = network.state_dict()
    checkpoint = Checkpoint("micro_attention", "trained", registered.trained, state, {"data": "none"}, sha256="0" * 64)
    contract = build_contract(checkpoint, "mine", "accurate", "a test")
    assert {spec.name: spec.dims for spec in contract.outputs} == {"probabilities": (3,), "attention": (7, 7)}
    session = onnxruntime.InferenceSession(onnx_bytes(served_graph(checkpoint), contract.inputs))
    probabilities, attention = session.run(["probabilities", "attention"], {"apex": faces})
    with torch.inference_mode():
        features, mask = network.trunk.attended(torch.from_numpy(faces))
        expected = torch.softmax(network.head(features), dim=1)
    np.testing.assert_allclose(probabilities, expected.numpy(), atol=1e-4)
    np.testing.assert_allclose(attention, mask.numpy(), atol=1e-4)
    assert 0 < attention.min() < attention.max() < 1
