"""The memory as an operator of ONNX."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from export.networks.blocks import graph_of
from export.networks.lstm_steps import LstmSteps
from export.onnx import onnx_bytes
from server.contract import TensorSpec

SEQUENCE = TensorSpec(name="sequence", dims=(9, 6))


class _Every(nn.Module):
    """All states of all steps, as logits."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = nn.Sequential(LstmSteps(6, 4), LstmSteps(4, 3))

    def forward(self, sequence: Tensor) -> Tensor:
        return self.memory(sequence).reshape(-1, 9 * 3)


def test_steps_are_those_of_pytorch() -> None:
    """With the parameters of `nn.LSTM`, every state is what it gives."""
    torch.manual_seed(0)
    steps, reference = LstmSteps(6, 4), nn.LSTM(6, 4, batch_first=True)
    steps.cell.load_state_dict(reference.state_dict())
    sequence = torch.randn(3, 7, 6)
    assert torch.equal(steps(sequence), reference(sequence)[0])


def test_exported_steps_are_those_of_pytorch() -> None:
    """One operator for each layer, and its states are those of `nn.LSTM` for any batch."""
    torch.manual_seed(0)
    network = _Every()
    graph = graph_of(network, "as_is")
    data = onnx_bytes(graph, (SEQUENCE,))
    kinds = [node.op_type for node in onnx.load_from_string(data).graph.node]
    assert kinds.count("LSTM") == 2
    assert not {"Loop", "Scan"} & set(kinds)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for samples in (1, 5):
        sequence = torch.randn(samples, *SEQUENCE.dims)
        (found,) = session.run(["probabilities"], {"sequence": sequence.numpy()})
        np.testing.assert_allclose(found, graph(sequence).detach().numpy(), atol=1e-6)
