"""Half precision inside a graph."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from export.cards import build_contract
from export.checkpoint import Checkpoint
from export.half_arithmetic import PASSING, WEIGHTED, half_bytes, largest_differences
from export.networks.registry import NETWORKS
from export.onnx import onnx_bytes, served_graph
from export.random_inputs import random_inputs
from server.contract import ModelContract
from server.errors import OptionError


@cache
def _network(name: str) -> tuple[bytes, ModelContract]:
    """The graph of a network with random weights, and its contract."""
    network = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = network.build(**network.trained.arguments()).state_dict()
    checkpoint = Checkpoint(name, "trained", network.trained, state, {"data": "none"}, sha256="0" * 64)
    contract = build_contract(checkpoint, name, "accurate", "a test")
    return onnx_bytes(served_graph(checkpoint), contract.inputs), contract


def _graph(nodes: Sequence[onnx.NodeProto], weights: Sequence[np.ndarray] = (), size: int = 4) -> bytes:
    """A graph from `x` to `y`, float32 [batch, size]; weights are w0, w1, ..."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name in ("x", "y")]
    tensors = [numpy_helper.from_array(array, f"w{index}") for index, array in enumerate(weights)]
    graph = helper.make_graph(list(nodes), "graph", values[:1], values[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def _kinds(data: bytes) -> dict[str, int]:
    """The element type of each output of a node."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(data)).graph
    return {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.output)}


@pytest.mark.parametrize("name", ["ststnet", "dssn", "microexpstcnn"])
def test_networks_answer_nearly_alike(name: str) -> None:
    """A network of flow, one of pictures and one of three dimensions change by less than a thousandth, and halve."""
    single, contract = _network(name)
    half = half_bytes(single)
    differences = largest_differences(single, [half, half_bytes(single, emulated=True)], random_inputs(contract, 3, 0))
    assert 0 < differences["probabilities"] < 1e-3
    assert len(half) < (0.8 if name == "ststnet" else 0.51) * len(single)


def test_only_weighted_layers_and_what_passes_on_are_half() -> None:
    """Normalisation, squares, softmax and averages compute in single precision; inputs and outputs are float32."""
    single, _ = _network("dssn")
    graph = onnx.load_from_string(half_bytes(single)).graph
    kinds = _kinds(half_bytes(single))
    halves = {node.op_type for node in graph.node if kinds[node.output[0]] == TensorProto.FLOAT16}
    assert {"Conv", "Gemm", "Relu", "MaxPool"} <= halves <= WEIGHTED | PASSING | {"Cast"}
    singles = {node.op_type for node in graph.node if kinds[node.output[0]] == TensorProto.FLOAT}
    assert {"Pow", "Sqrt", "Softmax", "ReduceMean", "Sub", "Div"} <= singles
    ends = (*graph.input, *graph.output)
    assert {value.type.tensor_type.elem_type for value in ends} == {TensorProto.FLOAT}


def test_same_graph_same_bytes() -> None:
    """The conversion repeats to the byte."""
    single, _ = _network("ststnet")
    assert half_bytes(single) == half_bytes(single)


def test_values_keep_their_range_beyond_the_layers() -> None:
    """What is squared after a layer may pass the largest half, 65504, without becoming infinite."""
    nodes = [helper.make_node("MatMul", ["x", "w0"], ["made"]), helper.make_node("Mul", ["made", "made"], ["y"])]
    half = half_bytes(_graph(nodes, [np.eye(4, dtype=np.float32)]))
    session = onnxruntime.InferenceSession(half, providers=["CPUExecutionProvider"])
    (squares,) = session.run(None, {"x": np.full((1, 4), 1000.0, np.float32)})
    np.testing.assert_array_equal(squares, 1e6)


def test_overflow_inside_a_layer_is_measured() -> None:
    """A layer whose result passes the largest half answers infinity, which is a difference and not a number less."""
    nodes = [helper.make_node("MatMul", ["x", "w0"], ["made"]), helper.make_node("Sub", ["made", "made"], ["y"])]
    single = _graph(nodes, [1000 * np.eye(4, dtype=np.float32)])
    differences = largest_differences(
        single, [half_bytes(single, emulated=True)], {"x": np.full((1, 4), 1e3, np.float32)}
    )
    assert np.isnan(differences["y"])


def test_emulation_rounds_what_passes_between_layers() -> None:
    """The emulated graph rounds inputs and outputs of each layer, not the weights alone."""
    single = _graph([helper.make_node("MatMul", ["x", "w0"], ["y"])], [np.eye(4, dtype=np.float32)])
    given = np.full((1, 4), 1 + 2**-12, np.float32)
    session = onnxruntime.InferenceSession(half_bytes(single, emulated=True), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": given})[0], 1)


def test_weights_of_both_kinds_are_kept_for_both() -> None:
    """Weights that nodes of both kinds share are there in both types; a bound of infinity stays finite."""
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["made"]),
        helper.make_node("Clip", ["made", "", "w1"], ["bounded"]),
        helper.make_node("MatMul", ["bounded", "w0"], ["again"]),
        helper.make_node("Exp", ["w0"], ["grown"]),
        helper.make_node("ReduceSum", ["grown"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["again", "sum"], ["y"]),
    ]
    half = half_bytes(_graph(nodes, [np.eye(4, dtype=np.float32), np.array(np.inf, np.float32)]))
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(half).graph.initializer}
    assert {name: array.dtype.name for name, array in tensors.items()} == {
        "w0": "float32",
        "w0_half": "float16",
        "w1_half": "float16",
    }
    assert tensors["w1_half"] == 65504


def test_control_flow_is_refused() -> None:
    """A graph with branches is not converted, and the option is named."""
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["out"])],
        "branch",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 4])],
    )
    nodes = [helper.make_node("If", ["w0"], ["y"], then_branch=branch, else_branch=branch)]
    with pytest.raises(OptionError, match="branches or loops"):
        half_bytes(_graph(nodes, [np.array(True)]))
