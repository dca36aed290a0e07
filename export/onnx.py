"""From a checkpoint to the ONNX file that the service loads."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import onnx
import torch
from torch import nn

from export.checkpoint import Checkpoint
from export.networks.blocks import PlainGraph, graph_of
from export.networks.network import FLOW_INPUT
from export.networks.outputs import named_outputs
from export.networks.prior_shift import PriorShift
from server.contract import TensorSpec

OPSET = 18
"""Opset 18 and IR 10 are read by ONNX Runtime from 1.18, thus by every Triton container from 24.05."""
IR_VERSION = 10
BATCH_AXIS = "batch"


def served_graph(checkpoint: Checkpoint) -> nn.Module:
    """The graph that is served: normalisation, the network in its fastest form, softmax, and the shift to other shares
    of the classes where the checkpoint was adapted to some. In evaluation mode.

    Inputs float32 [N, ...] as the network is registered with them, output probabilities float32 [N, classes], or
    `networks.blocks.Answer`, which has action units as well.
    """
    network = checkpoint.build()
    faster = getattr(network, "for_serving", None)
    graph = graph_of(faster() if faster else network, checkpoint.weights.preparation)
    return PriorShift(graph, checkpoint.prior_ratio).eval() if checkpoint.prior_ratio else graph


def onnx_bytes(graph: nn.Module, inputs: Sequence[TensorSpec] = (FLOW_INPUT,)) -> bytes:
    """`graph` (see `served_graph`), which takes `inputs` in this order, as an ONNX file with a dynamic batch axis,
    checked by `onnx.checker`.

    The same graph gives the same bytes, which name no file of the machine that wrote them.
    """
    example = tuple(torch.zeros(2, *spec.dims) for spec in inputs)
    with torch.inference_mode():
        names = list(named_outputs(graph.eval()(*example)))
    axes = tuple({0: torch.export.Dim(BATCH_AXIS, min=1, max=1 << 16)} for _ in inputs)
    with warnings.catch_warnings(), _quiet_exporter():
        # torch.export copies tree descriptions that its own newer version deprecates.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        # Several inputs share the batch axis, which then bears the name that the first one gives it.
        warnings.filterwarnings("ignore", message="# The axis name: batch will not be used", category=UserWarning)
        program = torch.onnx.export(
            graph.eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=[spec.name for spec in inputs],
            output_names=names,
            # What a graph takes as *inputs is one argument, a tuple.
            dynamic_shapes=(axes,) if isinstance(graph, PlainGraph) else axes,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _strip(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes about source files, traced nodes and its own build: it differs between machines."""
    model.ir_version = IR_VERSION
    model.producer_version = model.producer_version.partition("+")[0]
    model.doc_string = ""
    del model.metadata_props[:]
    graph = model.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    parts: tuple[Any, ...] = (*graph.node, *graph.input, *graph.output, *graph.initializer)
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence the exporter's log lines about optional packages that these graphs do not use."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
