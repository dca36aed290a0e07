"""The exported graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.checkpoint import Checkpoint
from export.onnx import IR_VERSION, OPSET, onnx_bytes, served_graph
from export.random_inputs import random_flow


@pytest.fixture(scope="module")
def exported(checkpoint: Checkpoint) -> bytes:
    """Our weights as ONNX."""
    return onnx_bytes(served_graph(checkpoint))


def _run(data: bytes, flow: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"flow": flow})
    return np.asarray(probabilities)


@pytest.mark.parametrize("samples", [1, 2, 7, 64])
def test_graph_answers_like_torch(checkpoint: Checkpoint, exported: bytes, samples: int) -> None:
    """Any batch size gives what torch gives."""
    flow = random_flow(samples, seed=samples)
    with torch.inference_mode():
        expected = served_graph(checkpoint)(torch.from_numpy(flow)).numpy()
    np.testing.assert_allclose(_run(exported, flow), expected, rtol=0, atol=1e-5)


def test_imported_weights_answer_like_torch(imported_checkpoint: Checkpoint) -> None:
    """So does the graph of published weights, which is another one."""
    flow = random_flow(9, seed=0)
    graph = served_graph(imported_checkpoint)
    with torch.inference_mode():
        expected = graph(torch.from_numpy(flow)).numpy()
    np.testing.assert_allclose(_run(onnx_bytes(graph), flow), expected, rtol=0, atol=1e-5)


def test_answer_does_not_depend_on_the_rest_of_the_batch(exported: bytes) -> None:
    """A sample alone and in company has the same probabilities."""
    flow = random_flow(5, seed=1)
    np.testing.assert_allclose(_run(exported, flow)[2:3], _run(exported, flow[2:3]), rtol=0, atol=1e-6)


def test_same_weights_same_file(checkpoint: Checkpoint, exported: bytes) -> None:
    """Exporting twice gives the same bytes."""
    assert onnx_bytes(served_graph(checkpoint)) == exported


def test_file_is_small_and_self_contained(exported: bytes, tmp_path: Path) -> None:
    """One convolution, pinned versions, a named batch axis, and no trace of the machine that wrote it."""
    model = onnx.load_from_string(exported)
    assert [node.op_type for node in model.graph.node].count("Conv") == 1
    assert model.ir_version == IR_VERSION
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert b".py" not in exported
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert "+" not in model.producer_version
    assert len(exported) < 20_000
