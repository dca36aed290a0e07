"""Triton's model configuration: valid by construction, since it is printed from Triton's own message."""

from __future__ import annotations

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from server.contract import PARAMETER, ModelContract, TensorSpec

MAX_BATCH_SIZE = 64
PREFERRED_BATCH_SIZES = (8, 32)
BACKEND = "onnxruntime"


def model_config(contract: ModelContract) -> triton.ModelConfig:
    """The configuration of a model with this contract.

    Dynamic batching without a delay: whatever waits is taken together, and nothing waits for company. The instance
    goes to a GPU where Triton has one, else to a CPU. Every batch size that Triton prefers is run once before the model
    counts as ready.
    """
    config = triton.ModelConfig(name=contract.name, backend=BACKEND, max_batch_size=MAX_BATCH_SIZE)
    config.version_policy.latest.num_versions = 1
    for spec in contract.inputs:
        config.input.add(name=spec.name, data_type=triton.TYPE_FP32, dims=spec.dims)
    for spec in contract.outputs:
        output = config.output.add(name=spec.name, data_type=triton.TYPE_FP32, dims=spec.dims)
        if spec.dims == (len(contract.labels),):
            output.label_filename = "labels.txt"
    config.dynamic_batching.preferred_batch_size.extend(PREFERRED_BATCH_SIZES)
    config.instance_group.add(count=1, kind=triton.ModelInstanceGroup.KIND_AUTO)
    for size in (1, *PREFERRED_BATCH_SIZES):
        _add_warmup(config, size, contract.inputs)
    config.parameters[PARAMETER].string_value = contract.model_dump_json()
    return config


def config_text(contract: ModelContract) -> str:
    """`model_config` as the text of config.pbtxt."""
    return str(text_format.MessageToString(model_config(contract), as_utf8=True))


def _add_warmup(config: triton.ModelConfig, batch_size: int, inputs: tuple[TensorSpec, ...]) -> None:
    warmup = config.model_warmup.add(name=f"batch_{batch_size}", batch_size=batch_size)
    for spec in inputs:
        tensor = warmup.inputs[spec.name]
        tensor.data_type = triton.TYPE_FP32
        tensor.dims.extend(spec.dims)
        tensor.zero_data = True
