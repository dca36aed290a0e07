"""The memory against the one of PyTorch, and what becomes of it in an export."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch

from export.networks.blocks import graph_of
from export.networks.lstm import Lstm
from export.onnx import onnx_bytes
from server.contract import TensorSpec

INPUTS = (TensorSpec(name="sequence", dims=(9, 12)),)


def test_answers_are_those_of_pytorch() -> None:
    """The same parameters give the last hidden state of nn.LSTM."""
    torch.manual_seed(0)
    reference, ours = torch.nn.LSTM(12, 7, batch_first=True), Lstm(12, 7)
    ours.cell.load_state_dict(reference.state_dict())
    sequence = torch.randn(4, 9, 12)
    assert torch.equal(ours(sequence), reference(sequence)[0][:, -1])


def test_export_is_one_operator_with_the_same_answers() -> None:
    """No loop and no unrolled steps: LSTM, its gates in the order of ONNX, for any batch."""
    torch.manual_seed(0)
    graph = graph_of(Lstm(12, 7), "as_is")
    data = onnx_bytes(graph, INPUTS)
    operators = [node.op_type for node in onnx.load_from_string(data).graph.node]
    assert operators.count("LSTM") == 1
    assert not {"Loop", "Scan", "Sigmoid", "Tanh"} & set(operators)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for samples in (1, 5):
        sequence = 3 * torch.randn(samples, 9, 12)
        (found,) = session.run(None, {"sequence": sequence.numpy()})
        np.testing.assert_allclose(found, graph(sequence).detach().numpy(), atol=1e-6)
