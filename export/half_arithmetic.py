"""Half precision inside an ONNX graph: weighted layers in float16, whatever needs range or accuracy in float32.

The layers with weights are where time and memory go, and what half precision is good for (Micikevicius et al. 2018,
"Mixed Precision Training", section 3, keeps reductions, normalisation and softmax in single precision for the same
reason as here: sums and squares leave the range of a half, which ends at 65504).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from server.errors import OptionError
from server.types import Float32Array

TOLERANCE = 1e-2
"""Difference of a probability from single precision up to which a model in half precision is published."""

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
PASSING = frozenset(
    {
        "Relu", "LeakyRelu", "PRelu", "Clip", "Add", "Max", "MaxPool", "Concat", "Dropout", "Flatten", "Gather",
        "Identity", "Pad", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze", "Expand",
    }
)  # fmt: skip
"""What neither sums over many values nor multiplies two of them: half where all that it is given is half."""

_HALF = "_half"
_ROUNDED = "_rounded"
_WIDE = "_wide"


def half_bytes(single: bytes, *, emulated: bool = False) -> bytes:
    """The ONNX graph `single` with its weighted layers, and what only passes their values on, in float16.

    Inputs and outputs keep their names, shapes and float32. The same graph gives the same bytes. `emulated` keeps the
    arithmetic single and rounds what goes into and comes out of each half layer instead: what a GPU does that
    multiplies halves and adds in single precision, where ONNX Runtime on a processor would round the weights alone.

    Raises `OptionError` for a graph with branches or loops.
    """
    model = shape_inference.infer_shapes(onnx.load_from_string(single), strict_mode=True)
    rewriting = _Rewriting(model.graph, emulated=emulated)
    nodes = rewriting.nodes()
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in (*model.graph.initializer, *rewriting.weights.values()) if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def largest_differences(single: bytes, half: Iterable[bytes], inputs: Mapping[str, Float32Array]) -> dict[str, float]:
    """For each output its largest difference between the graph `single` and any of `half` on `inputs`, in ONNX Runtime
    on the processor; NaN where an answer is not a number.
    """
    expected = _run(single, inputs)
    found = [_run(graph, inputs) for graph in half]
    # Of several values np.max returns the one that is not a number, which max would pass over.
    return {
        name: float(np.max([np.abs(answers[name] - value).max() for answers in found]))
        for name, value in expected.items()
    }


class _Rewriting:
    """The nodes of one graph in their new types. Where a value `x` is needed as a half, it is `x_half`."""

    def __init__(self, graph: onnx.GraphProto, *, emulated: bool) -> None:
        if any(attribute.type in _SUBGRAPHS for node in graph.node for attribute in node.attribute):
            raise OptionError("the graph has branches or loops, which are not converted", option="precision")
        self.weights: dict[str, onnx.TensorProto] = {}
        self._emulated = emulated
        self._graph = graph
        self._single = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
        values = (*graph.input, *graph.output, *graph.value_info)
        self._floats = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
        self._half: set[str] = set()
        self._made: set[str] = set()
        self._nodes: list[onnx.NodeProto] = []

    def nodes(self) -> list[onnx.NodeProto]:
        """All nodes, in an order in which they can run."""
        for node in self._graph.node:
            if self._becomes_half(node):
                self._add_half(node)
            else:
                for name in node.input:
                    self._as_single(name)
                self._nodes.append(node)
        for output in self._graph.output:
            self._as_single(output.name)
        return self._nodes

    def _becomes_half(self, node: onnx.NodeProto) -> bool:
        if node.op_type in WEIGHTED:
            return all(name in self._floats or name in self._single for name in node.input if name)
        given = [name for name in node.input if name in self._floats and name not in self._single]
        return node.op_type in PASSING and bool(given) and self._half.issuperset(given)

    def _add_half(self, node: onnx.NodeProto) -> None:
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        floats = self._floats | self._single.keys()
        made = _WIDE if self._emulated else _HALF
        for position, name in enumerate(node.input):
            if name in floats:
                changed.input[position] = self._as_half(name)
        outputs = [name for name in node.output if name in self._floats]
        changed.output[:] = [name + made if name in outputs else name for name in node.output]
        self._nodes.append(changed)
        self._half.update(outputs)
        self._made.update(name + made for name in outputs)
        if self._emulated:
            for name in outputs:
                self._cast(name + _WIDE, name + _HALF, TensorProto.FLOAT16)

    def _as_half(self, name: str) -> str:
        half = name + _HALF
        if name in self._single:
            self.weights[name] = numpy_helper.from_array(_rounded(numpy_helper.to_array(self._single[name])), half)
        else:
            self._cast(name, half, TensorProto.FLOAT16)
        return self._cast(half, half + _ROUNDED, TensorProto.FLOAT) if self._emulated else half

    def _as_single(self, name: str) -> None:
        if name in self._half:
            self._cast(name + _HALF, name, TensorProto.FLOAT)

    def _cast(self, name: str, to: str, kind: int) -> str:
        if to not in self._made:
            self._made.add(to)
            self._nodes.append(helper.make_node("Cast", [name], [to], name=f"cast_{to}", to=kind))
        return to


_SUBGRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def _rounded(weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    # A bound that stands for infinity, as of Clip, is the largest half rather than none.
    largest = float(np.finfo(np.float16).max)
    rounded: np.ndarray[Any, Any] = np.clip(weights, -largest, largest).astype(np.float16)
    return rounded


def _run(graph: bytes, inputs: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))
