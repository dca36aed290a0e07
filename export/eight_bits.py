"""Weights of large networks in a quarter of the space: 8 bits a weight on disk, arithmetic in float32 as ever.

`rounded` changes the weights once, before anything is exported, so that torch and every backend compute with the same
numbers; `packed` stores those of a graph that are so rounded, also where a batch normalisation was folded into them,
and leaves others alone. Each output channel has a scale of its own (Krishnamoorthi, "Quantizing deep convolutional
networks for efficient inference", 2018, section 3.1.2, symmetric). ONNX Runtime folds the two operations that undo it
when it loads the graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from server.types import Float32Array

_STEPS = 127
_LEAST_BITS = 1e-6
"""Share of the largest weight of a channel by which folding in float32 may have moved a level."""
_LEAST_VALUES = 4096
"""Smaller tensors, biases and statistics among them, stay as they are."""


def rounded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with every large matrix or kernel, float32 [channels, ...], on the 255 levels of its channel."""
    return {name: _rounded(value) if _is_large(value) else value for name, value in state.items()}


def packed(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with every initializer that is rounded along some axis stored as int8, times its scales.

    The weights that a runtime computes with are the same but for the last bits of float32.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph, nodes, kept = result.graph, [], []
    for initializer in model.graph.initializer:
        parts = _parts(numpy_helper.to_array(initializer))
        if parts is None:
            kept.append(initializer)
            continue
        name = initializer.name
        steps, scales = parts
        kept.append(numpy_helper.from_array(steps, f"{name}.steps"))
        kept.append(numpy_helper.from_array(scales, f"{name}.scales"))
        nodes.append(helper.make_node("Cast", [f"{name}.steps"], [f"{name}.float"], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}.float", f"{name}.scales"], [name]))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *others])
    return result


def unpacked(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with what `packed` stored as int8 in float32 again, as converters that look for weights expect it."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    products = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "Mul" and list(node.input) == [f"{node.output[0]}.float", f"{node.output[0]}.scales"]
    }
    for name in products:
        steps, scales = (numpy_helper.to_array(tensors.pop(f"{name}.{part}")) for part in ("steps", "scales"))
        tensors[name] = numpy_helper.from_array(steps.astype(np.float32) * scales, name)
    gone = products.keys() | {f"{name}.float" for name in products}
    others = [node for node in graph.node if node.output[0] not in gone]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(others)
    graph.initializer.extend(tensors.values())
    return result


def _is_large(value: Tensor) -> bool:
    return value.dtype == torch.float32 and value.ndim >= 2 and value.numel() >= _LEAST_VALUES


def _rounded(value: Tensor) -> Tensor:
    weights = value.detach().cpu().numpy()
    scales = _scales(weights, 0)
    steps = np.clip(np.rint(weights / scales), -_STEPS, _STEPS)
    return torch.from_numpy((steps * scales).astype(np.float32))


def _scales(weights: Float32Array, axis: int) -> Float32Array:
    """A scale for each index of `axis`, with ones elsewhere: the largest weight is 127 steps."""
    others = tuple(index for index in range(weights.ndim) if index != axis)
    scales = np.abs(weights).max(axis=others, keepdims=True) / np.float32(_STEPS)
    return np.where(scales > 0, scales, np.float32(1))


def _parts(weights: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.int8], Float32Array] | None:
    """Steps and scales whose product is `weights`, where they were rounded."""
    if weights.dtype != np.float32 or weights.ndim < 2 or weights.size < _LEAST_VALUES:
        return None
    return next(_fitting(weights.astype(np.float32, copy=False)), None)


def _fitting(weights: Float32Array) -> Iterator[tuple[npt.NDArray[np.int8], Float32Array]]:
    for axis in range(weights.ndim):
        scales = _scales(weights, axis)
        steps = np.rint(weights / scales)
        if (np.abs(steps * scales - weights) <= _LEAST_BITS * _STEPS * scales).all():
            yield steps.astype(np.int8), scales
