"""Triton's configuration of a model."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export.cards import build_contract
from export.checkpoint import Checkpoint
from export.triton_config import config_text, model_config
from server.contract import PARAMETER, ModelContract


@pytest.fixture
def contract(checkpoint: Checkpoint) -> ModelContract:
    """A contract as export writes it."""
    return build_contract(checkpoint, "ours", "accurate", 'glimpse-export train --note "ünïcode" \\ ')


def test_text_reads_back_as_the_same_message(contract: ModelContract) -> None:
    """The printed configuration is Triton's message, word for word."""
    assert text_format.Parse(config_text(contract), triton.ModelConfig()) == model_config(contract)


def test_contract_survives_the_quoting(contract: ModelContract) -> None:
    """Quotes, backslashes and letters of other languages come back from the file unchanged."""
    config = text_format.Parse(config_text(contract), triton.ModelConfig())
    assert ModelContract.model_validate_json(config.parameters[PARAMETER].string_value) == contract


def test_batches_are_taken_without_delay_and_warmed(contract: ModelContract) -> None:
    """Dynamic batching is on, waits for nobody, and each preferred size and size 1 are run at start."""
    config = model_config(contract)
    assert config.HasField("dynamic_batching")
    assert config.dynamic_batching.max_queue_delay_microseconds == 0
    preferred = list(config.dynamic_batching.preferred_batch_size)
    assert max(preferred) <= config.max_batch_size
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, *preferred]
    assert all(list(warmup.inputs["flow"].dims) == [3, 28, 28] for warmup in config.model_warmup)


def test_pictures_come_in_small_batches(contract: ModelContract) -> None:
    """Of inputs as large as a picture, 8 samples at most are held at a time."""
    pictures = (contract.inputs[0].model_copy(update={"dims": (1, 128, 128)}),)
    config = model_config(contract.model_copy(update={"inputs": pictures}))
    assert config.max_batch_size == 8
    assert list(config.dynamic_batching.preferred_batch_size) == [8]
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 8]


def test_tensors_are_explicit(contract: ModelContract) -> None:
    """Names, types and sizes are written, not guessed by a server."""
    config = model_config(contract)
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [("flow", triton.TYPE_FP32, [3, 28, 28])]
    assert [(t.name, t.data_type, list(t.dims)) for t in config.output] == [("probabilities", triton.TYPE_FP32, [3])]
    assert config.backend == "onnxruntime"


def test_one_instance_where_the_hardware_is(contract: ModelContract) -> None:
    """One instance, on a GPU where there is one; the newest version alone is served."""
    config = model_config(contract)
    (group,) = config.instance_group
    assert (group.count, group.kind) == (1, triton.ModelInstanceGroup.KIND_AUTO)
    assert config.version_policy.latest.num_versions == 1
