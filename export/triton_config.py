"""Triton's model configuration: valid by construction, since it is printed from Triton's own message."""

from __future__ import annotations

import math
from collections.abc import Sequence

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export.version_policy import latest_policy
from server.contract import PARAMETER, Accelerator, ModelContract, TensorSpec
from server.predict.steps import PLATFORM, Step

MAX_BATCH_SIZE = 64
_PREFERRED_BATCH_SIZES = (8, 32)
_PICTURE = 128 * 128
"""Values of a sample from which on it is called a picture: one is work enough for a core, and ONNX Runtime does not
give back the memory of a large batch (docs/triton.md).
"""
_MAX_PICTURES = 8
BACKEND = "onnxruntime"
PLAN_BACKEND = "tensorrt"
_MIB = 2**20


def batch_sizes(inputs: Sequence[TensorSpec]) -> tuple[int, ...]:
    """Batch sizes that Triton waits for, in rising order, and last the largest that a model with `inputs` takes."""
    if sum(math.prod(spec.dims) for spec in inputs) < _PICTURE:
        return (*_PREFERRED_BATCH_SIZES, MAX_BATCH_SIZE)
    return (_MAX_PICTURES, _MAX_PICTURES)


def model_config(contract: ModelContract, policy: triton.ModelVersionPolicy | None = None) -> triton.ModelConfig:
    """The configuration of a model with this contract, of which `policy` is served, without one the newest version.

    Dynamic batching without a delay: whatever waits is taken together, and nothing waits for company. The instance
    goes to a GPU where Triton has one, else to a CPU, where an accelerator has no effect; a plan asks for a GPU. Every
    batch size that Triton prefers is run once before the model counts as ready.
    """
    backend = PLAN_BACKEND if contract.engine else BACKEND
    *preferred, largest = batch_sizes(contract.inputs)
    config = triton.ModelConfig(name=contract.name, backend=backend, max_batch_size=largest)
    if contract.engine:
        config.default_model_filename = contract.model_file
    _describe(config, contract, policy)
    config.dynamic_batching.preferred_batch_size.extend(preferred)
    kinds = triton.ModelInstanceGroup
    config.instance_group.add(count=1, kind=kinds.KIND_GPU if contract.engine else kinds.KIND_AUTO)
    if contract.accelerator:
        _add_accelerator(config, contract.accelerator)
    # ONNX Runtime builds TensorRT's engine anew for a batch beyond all before it, while a request waits: so the largest
    # is seen first and the smallest next. Stating the shapes instead fails where TensorRT takes only parts of a graph.
    sizes = (largest, 1, *preferred) if contract.accelerator else (1, *preferred)
    for size in dict.fromkeys(sizes):
        _add_warmup(config, size, contract.inputs)
    return config


def ensemble_config(
    contract: ModelContract,
    policy: triton.ModelVersionPolicy | None = None,
    *,
    steps: Sequence[Step],
    largest_batch: int,
) -> triton.ModelConfig:
    """The configuration of an ensemble: Triton asks the models of `steps` within one request, in batches of at most
    `largest_batch`. They have instances and warm-up of their own, so it needs none.
    """
    config = triton.ModelConfig(name=contract.name, platform=PLATFORM, max_batch_size=largest_batch)
    _describe(config, contract, policy)
    for step in steps:
        config.ensemble_scheduling.step.add(
            model_name=step.model, model_version=int(step.version), input_map=step.inputs, output_map=step.outputs
        )
    return config


def config_text(contract: ModelContract) -> str:
    """`model_config` as the text of config.pbtxt."""
    return config_bytes(model_config(contract)).decode()


def config_bytes(config: triton.ModelConfig) -> bytes:
    """The content of config.pbtxt."""
    return str(text_format.MessageToString(config, as_utf8=True)).encode()


def _describe(config: triton.ModelConfig, contract: ModelContract, policy: triton.ModelVersionPolicy | None) -> None:
    config.version_policy.CopyFrom(policy or latest_policy())
    for spec in contract.inputs:
        config.input.add(name=spec.name, data_type=triton.TYPE_FP32, dims=spec.dims)
    for spec in contract.outputs:
        output = config.output.add(name=spec.name, data_type=triton.TYPE_FP32, dims=spec.dims)
        if spec.dims == (len(contract.labels),) and not contract.part_of:
            output.label_filename = "labels.txt"
    config.parameters[PARAMETER].string_value = contract.to_json()


def _add_accelerator(config: triton.ModelConfig, wanted: Accelerator) -> None:
    """TensorRT inside ONNX Runtime, by the parameters that Triton's backend for it documents.

    There is no `precision_mode`: without it TensorRT computes each tensor in the type that it has in the graph, which
    is what was compared with the network; with it TensorRT may take halves anywhere.
    """
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name=wanted.name)
    accelerator.parameters["max_workspace_size_bytes"] = str(wanted.workspace_mib * _MIB)
    if wanted.engine_cache:
        accelerator.parameters["trt_engine_cache_enable"] = "1"
        accelerator.parameters["trt_engine_cache_path"] = wanted.engine_cache


def _add_warmup(config: triton.ModelConfig, batch_size: int, inputs: tuple[TensorSpec, ...]) -> None:
    warmup = config.model_warmup.add(name=f"batch_{batch_size}", batch_size=batch_size)
    for spec in inputs:
        tensor = warmup.inputs[spec.name]
        tensor.data_type = triton.TYPE_FP32
        tensor.dims.extend(spec.dims)
        tensor.zero_data = True
