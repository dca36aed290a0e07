"""Many checkpoints of one network as ONNX: traced once, then given the weights of the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper
from torch import nn

from export.onnx import onnx_bytes
from server.contract import TensorSpec


class OnnxSeries:
    """Exports graphs that differ in their weights alone: same network, same settings, same inputs."""

    def __init__(self) -> None:
        self._traced: onnx.ModelProto | None = None

    def __call__(self, graph: nn.Module, inputs: Sequence[TensorSpec]) -> bytes:
        """What `onnx_bytes` gives, byte for byte.

        A graph whose exporter changed weights on the way, or put them elsewhere than into initializers of their names,
        is traced anew each time.
        """
        if self._traced is not None and _fill(self._traced, graph):
            data: bytes = self._traced.SerializeToString(deterministic=True)
            return data
        data = onnx_bytes(graph, inputs)
        traced = onnx.load_from_string(data)
        self._traced = traced if _holds(traced, graph) else None
        return data


def _holds(model: onnx.ModelProto, graph: nn.Module) -> bool:
    """Whether all numbers of `model` that may be weights are those of `graph`, under their names."""
    state = graph.state_dict()
    if any(attribute.type in _TENSORS for node in model.graph.node for attribute in node.attribute):
        return False
    return all(
        each.name in state and np.array_equal(numpy_helper.to_array(each), state[each.name].numpy())
        for each in _weights(model)
    )


def _fill(model: onnx.ModelProto, graph: nn.Module) -> bool:
    """Give `model` the weights of `graph`; False, and nothing is changed, where they do not fit."""
    state = graph.state_dict()
    weights = _weights(model)
    if any(each.name not in state or tuple(each.dims) != tuple(state[each.name].shape) for each in weights):
        return False
    for each in weights:
        each.raw_data = state[each.name].contiguous().numpy().tobytes()
    return True


_TENSORS = {onnx.AttributeProto.TENSOR, onnx.AttributeProto.TENSORS, onnx.AttributeProto.FLOATS}


def _weights(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [each for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT]
