"""Networks that take several tensors as they are."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from export.networks.blocks import PlainGraph, graph_of
from export.networks.outputs import Outputs
from export.onnx import onnx_bytes
from server.contract import TensorSpec

INPUTS = (TensorSpec(name="apex", dims=(1, 8, 8)), TensorSpec(name="sequence", dims=(4, 6)))


class _TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.picture, self.course = nn.Linear(64, 3), nn.Linear(6, 3)

    def forward(self, apex: Tensor, sequence: Tensor) -> Tensor:
        logits: Tensor = self.picture(apex.flatten(1)) + self.course(sequence).mean(1)
        return logits


class _Members(nn.Module):
    def forward(self, apex: Tensor) -> Outputs:
        mean = apex.mean((1, 2, 3))
        return Outputs(torch.stack([torch.stack([mean, 0 * mean, 0 * mean], dim=1)] * 2))


def test_two_inputs_become_a_graph_with_two_names() -> None:
    """In the order of the registration, with any batch, and with torch's answers."""
    torch.manual_seed(0)
    graph = graph_of(_TwoInputs(), "as_is")
    session = onnxruntime.InferenceSession(onnx_bytes(graph, INPUTS), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["apex", "sequence"]
    for samples in (1, 5):
        random = np.random.default_rng(samples)
        feed = {spec.name: random.normal(size=(samples, *spec.dims)).astype(np.float32) for spec in INPUTS}
        (found,) = session.run(["probabilities"], feed)
        expected = graph(*[torch.from_numpy(feed[spec.name]) for spec in INPUTS]).detach().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)


def test_members_are_averaged() -> None:
    """Of an ensemble the mean of the probabilities is answered."""
    graph = PlainGraph(_Members()).eval()
    answer = graph(torch.ones(2, 1, 8, 8))
    assert answer.shape == (2, 3)
    torch.testing.assert_close(answer[0], torch.softmax(torch.tensor([1.0, 0.0, 0.0]), dim=0))
