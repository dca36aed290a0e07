"""Turns a float TFLite graph of plain convolutions into ONNX: channels first, any batch size.

Covers the operators of MediaPipe's face networks and refuses any other. Parametric ReLUs become
`a * x + (1 - a) * relu(x)` with two depthwise 1x1 convolutions, which ONNX Runtime keeps in its blocked layout; its
own PRelu kernel is two times slower, and the slopes leave 0..1, so that a maximum would be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

from server.errors import ConfigurationError

OPSET = 17
IR_VERSION = 8
_RELU = 1
_SAME = 0
_DTYPES = {tflite.TensorType.FLOAT32: "<f4", tflite.TensorType.FLOAT16: "<f2", tflite.TensorType.INT32: "<i4"}
_OPERATOR_NAMES = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}


def convert(data: bytes, *, name: str, outputs: Mapping[str, str]) -> onnx.ModelProto:
    """ONNX model of the TFLite flatbuffer `data`.

    The input is renamed to `input`, float32 [N, C, H, W]; `outputs` maps names in the flatbuffer to new names. Heads
    that end in a 1x1 map become [N, C]. The same bytes give the same model, byte for byte.

    Raises `ConfigurationError` for an operator, weight format or output that it does not know.
    """
    graph = _Graph(data)
    for position in range(graph.subgraph.OperatorsLength()):
        graph.add(graph.subgraph.Operators(position))
    model = graph.finish(name, outputs)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    """ONNX nodes under construction. `channels_first` holds the tensors whose 4 axes were permuted."""

    def __init__(self, data: bytes) -> None:
        self.model = tflite.Model.GetRootAsModel(data, 0)
        self.subgraph = self.model.Subgraphs(0)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.input = int(self.subgraph.InputsAsNumpy()[0])
        self.channels_first = {self.input}
        self.constants = self._read_constants()

    def shape(self, tensor: int) -> list[int]:
        return [int(size) for size in self.subgraph.Tensors(tensor).ShapeAsNumpy()]

    def name(self, tensor: int) -> str:
        return "input" if tensor == self.input else f"t{tensor}"

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def emit(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}_{len(self.nodes)}", **attributes))

    def options(self, operator: Any, kind: str) -> Any:
        options = getattr(tflite, kind)()
        table = operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        return options

    def padding(self, tensor: int, kernel: list[int], strides: list[int], mode: int) -> list[int]:
        """ONNX pads; TFLite's SAME puts the odd pixel at the end."""
        if mode != _SAME:
            return [0, 0, 0, 0]
        sizes = self.shape(tensor)[1:3]
        totals = [max((-(-n // step) - 1) * step + k - n, 0) for n, k, step in zip(sizes, kernel, strides, strict=True)]
        return [total // 2 for total in totals] + [total - total // 2 for total in totals]

    def activated(self, code: int, output: str) -> str:
        """Name for a result before its fused activation, whose node is added by `activate`."""
        if code not in {0, _RELU}:
            raise ConfigurationError(f"unknown fused activation {code}", stage="export")
        return f"{output}_linear" if code else output

    def activate(self, code: int, output: str) -> None:
        if code:
            self.emit("Relu", [f"{output}_linear"], output)

    def add(self, operator: Any) -> None:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        kind = _OPERATOR_NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        if kind not in _CONVERTERS:
            raise ConfigurationError(f"the TFLite operator {kind} has no conversion", stage="export")
        output = int(operator.Outputs(0))
        self.channels_first.add(output)
        _CONVERTERS[kind](self, operator, [int(i) for i in operator.InputsAsNumpy()], output)

    def finish(self, name: str, outputs: Mapping[str, str]) -> onnx.ModelProto:
        found = {self.subgraph.Tensors(int(i)).Name().decode(): int(i) for i in self.subgraph.OutputsAsNumpy()}
        if set(found) != set(outputs):
            raise ConfigurationError(f"the TFLite outputs are {sorted(found)}, not {sorted(outputs)}", stage="export")
        _, height, width, channels = self.shape(self.input)
        entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", channels, height, width])
        exits = [self._output(tensor, outputs[key]) for key, tensor in found.items()]
        graph = helper.make_graph(self.nodes, name, [entry], exits, self.initializers)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="glimpse"
        )

    def _output(self, tensor: int, name: str) -> onnx.ValueInfoProto:
        shape = self.shape(tensor)
        if tensor in self.channels_first and len(shape) == 4:
            self.emit("Flatten", [self.name(tensor)], name, axis=1)
            shape = [1, int(np.prod(shape))]
        else:
            self.emit("Identity", [self.name(tensor)], name)
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape[1:]])

    def _read_constants(self) -> dict[int, npt.NDArray[Any]]:
        constants = {}
        for i in range(self.subgraph.TensorsLength()):
            tensor = self.subgraph.Tensors(i)
            raw = self.model.Buffers(tensor.Buffer()).DataAsNumpy()
            if isinstance(raw, int) or not len(raw):
                continue
            if tensor.Sparsity() is not None or tensor.Type() not in _DTYPES:
                raise ConfigurationError(f"unknown weight format of {tensor.Name().decode()!r}", stage="export")
            constants[i] = np.frombuffer(raw.tobytes(), _DTYPES[tensor.Type()]).reshape(self.shape(i))
        return constants


def _dequantize(graph: _Graph, _operator: Any, inputs: list[int], output: int) -> None:
    graph.constants[output] = graph.constants[inputs[0]].astype(np.float32)


def _convolution(graph: _Graph, operator: Any, inputs: list[int], output: int, *, depthwise: bool = False) -> None:
    options = graph.options(operator, "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions")
    if (options.DilationHFactor(), options.DilationWFactor()) != (1, 1):
        raise ConfigurationError("dilated convolutions have no conversion", stage="export")
    weights = graph.constants[inputs[1]].transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
    kernel, strides = list(weights.shape[2:]), [options.StrideH(), options.StrideW()]
    name, code = graph.name(output), options.FusedActivationFunction()
    arguments = [
        graph.name(inputs[0]),
        graph.constant(f"{name}_weight", weights),
        graph.constant(f"{name}_bias", graph.constants[inputs[2]]),
    ]
    graph.emit(
        "Conv",
        arguments,
        graph.activated(code, name),
        kernel_shape=kernel,
        strides=strides,
        pads=graph.padding(inputs[0], kernel, strides, options.Padding()),
        group=graph.shape(inputs[0])[3] if depthwise else 1,
    )
    graph.activate(code, name)


def _depthwise(graph: _Graph, operator: Any, inputs: list[int], output: int) -> None:
    _convolution(graph, operator, inputs, output, depthwise=True)


def _max_pool(graph: _Graph, operator: Any, inputs: list[int], output: int) -> None:
    options = graph.options(operator, "Pool2DOptions")
    kernel = [options.FilterHeight(), options.FilterWidth()]
    strides = [options.StrideH(), options.StrideW()]
    pads = graph.padding(inputs[0], kernel, strides, options.Padding())
    graph.emit("MaxPool", [graph.name(inputs[0])], graph.name(output), kernel_shape=kernel, strides=strides, pads=pads)


def _prelu(graph: _Graph, _operator: Any, inputs: list[int], output: int) -> None:
    slope = graph.constants[inputs[1]].astype(np.float32).reshape(-1, 1, 1, 1)
    source, name = graph.name(inputs[0]), graph.name(output)
    depthwise = {"group": len(slope), "kernel_shape": [1, 1]}
    graph.emit("Relu", [source], f"{name}_positive")
    graph.emit("Conv", [f"{name}_positive", graph.constant(f"{name}_rest", 1 - slope)], f"{name}_bend", **depthwise)
    graph.emit("Conv", [source, graph.constant(f"{name}_slope", slope)], f"{name}_line", **depthwise)
    graph.emit("Add", [f"{name}_line", f"{name}_bend"], name)


def _relu(graph: _Graph, _operator: Any, inputs: list[int], output: int) -> None:
    graph.emit("Relu", [graph.name(inputs[0])], graph.name(output))


def _add(graph: _Graph, operator: Any, inputs: list[int], output: int) -> None:
    code, name = graph.options(operator, "AddOptions").FusedActivationFunction(), graph.name(output)
    graph.emit("Add", [graph.name(i) for i in inputs], graph.activated(code, name))
    graph.activate(code, name)


def _pad(graph: _Graph, _operator: Any, inputs: list[int], output: int) -> None:
    amounts = graph.constants[inputs[1]][[0, 3, 1, 2]].T.reshape(-1).astype(np.int64)
    name = graph.name(output)
    graph.emit("Pad", [graph.name(inputs[0]), graph.constant(f"{name}_pads", amounts)], name)


def _reshape(graph: _Graph, _operator: Any, inputs: list[int], output: int) -> None:
    source, name = graph.name(inputs[0]), graph.name(output)
    if inputs[0] in graph.channels_first and len(graph.shape(inputs[0])) == 4:
        graph.emit("Transpose", [source], f"{name}_channels_last", perm=[0, 2, 3, 1])
        source = f"{name}_channels_last"
    target = np.array([0, -1, *graph.shape(output)[2:]], np.int64)
    graph.emit("Reshape", [source, graph.constant(f"{name}_shape", target)], name)
    graph.channels_first.discard(output)


def _concatenation(graph: _Graph, operator: Any, inputs: list[int], output: int) -> None:
    if graph.channels_first & set(inputs):
        raise ConfigurationError("concatenation of feature maps has no conversion", stage="export")
    axis = graph.options(operator, "ConcatenationOptions").Axis()
    graph.emit("Concat", [graph.name(i) for i in inputs], graph.name(output), axis=axis)
    graph.channels_first.discard(output)


_CONVERTERS: dict[str, Callable[[_Graph, Any, list[int], int], None]] = {
    "DEQUANTIZE": _dequantize,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "MAX_POOL_2D": _max_pool,
    "PRELU": _prelu,
    "RELU": _relu,
    "ADD": _add,
    "PAD": _pad,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenation,
}
