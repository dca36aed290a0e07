"""What Triton's gRPC protocol means here: its address, its tensors and its errors."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from tritonclient.grpc import InferenceServerException, InferInput, InferRequestedOutput

from server.contract import ModelContract
from server.errors import (
    BackendFailed,
    BackendUnavailable,
    ConfigurationError,
    GlimpseError,
    ModelNotServable,
    UnknownModel,
)
from server.predict.deadline import out_of_time
from server.types import Float32Array

_log = logging.getLogger(__name__)

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/\s]+):[0-9]{1,5}")
_RESOLVERS = ("dns:", "ipv4:", "ipv6:", "unix:", "xds:")
_LARGEST_MESSAGE_BYTES = 2**31 - 1

CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    # Of a target that only gRPC can resolve (xds:, dns: with a server of its own) each server is asked in turn.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.max_send_message_length", _LARGEST_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _LARGEST_MESSAGE_BYTES),
    # Pings notice a dead peer during a call. Triton takes pings on an idle connection, or more than two without
    # data, for abuse and hangs up.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 2),
    # gRPC's own back-off grows to two minutes, during which a restarted Triton would not be noticed; the shortest one
    # is also the time that an attempt to connect gets.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A replica that comes back may have another address; gRPC would look the name up every 30 s at most.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # A proxy for the outside world does not know the way to a server in the cluster.
    ("grpc.enable_http_proxy", 0),
)


class NothingLoaded(ModelNotServable):
    """Triton knows the model and has no version of it at this moment."""


def target(address: str) -> str:
    """The gRPC target of `host:port`, whose name may stand for several servers. Raises `ConfigurationError`."""
    if address.startswith(_RESOLVERS):
        return address
    if _HOST_AND_PORT.fullmatch(address):
        return f"dns:///{address}"
    raise ConfigurationError(f"Triton's address must be host:port of its gRPC protocol, not {address!r}")


def request_tensors(
    contract: ModelContract, inputs: Mapping[str, Float32Array]
) -> tuple[list[InferInput], list[InferRequestedOutput]]:
    """Inputs and wanted outputs of one call."""
    tensors = []
    for name, array in inputs.items():
        tensor = InferInput(name, list(array.shape), "FP32")
        tensor.set_data_from_numpy(np.ascontiguousarray(array))
        tensors.append(tensor)
    return tensors, [InferRequestedOutput(spec.name) for spec in contract.outputs]


def response_tensors(model: str, response: Any) -> dict[str, Float32Array]:
    """The outputs of a ModelInferResponse. Raises `BackendFailed` where the bytes are not what is announced."""
    if len(response.outputs) != len(response.raw_output_contents):
        raise _failed(model, "its outputs are announced but not sent")
    outputs = {}
    for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if not raw:
            raise _failed(
                model,
                f"output {tensor.name!r} is empty although Triton reports success. Its Python backend does this when it"
                " runs with numpy 2: give it an environment with numpy 1",
            )
        if tensor.datatype != "FP32" or len(raw) != 4 * math.prod(tensor.shape):
            raise _failed(
                model, f"output {tensor.name!r} is {len(raw)} bytes for {tensor.datatype} {list(tensor.shape)}"
            )
        outputs[tensor.name] = np.frombuffer(raw, dtype="<f4").reshape(tuple(tensor.shape)).copy()
    return outputs


def translated(error: InferenceServerException, model: str) -> GlimpseError:
    """What a failed call means to whoever asked for `model`. What Triton said of its inside goes to the log alone."""
    status = str(error.status()).removeprefix("StatusCode.")
    said = (error.message() or status).strip().splitlines()[0]
    if "no available versions" in said:
        return NothingLoaded(f"model {model!r} cannot be served: Triton has loaded no version of it", stage="inference")
    if status == "NOT_FOUND" or "unknown model" in said:
        return UnknownModel(f"the inference server does not have model {model!r} or that version", stage="inference")
    if status in {"UNAVAILABLE", "CANCELLED"}:
        return BackendUnavailable("the inference server does not answer", stage="inference")
    if status == "DEADLINE_EXCEEDED":
        return out_of_time(model)
    _log.warning("Triton failed on model %s (%s): %s", model, status, said)
    if status == "INVALID_ARGUMENT":
        # The inputs fit the contract, or they would not have been sent.
        return ModelNotServable(
            f"the inference server refuses what the contract of model {model!r} asks for; the log of the service says"
            " why",
            stage="inference",
        )
    return _unusable(f"the inference server failed to run model {model!r}")


def names_model(error: InferenceServerException, model: str) -> bool:
    """Whether it was Triton that refused, for this model alone: gRPC itself does not know the names of models."""
    return f"'{model}'" in (error.message() or "")


def _failed(model: str, what: str) -> BackendFailed:
    _log.warning("Triton's answer for model %s cannot be used: %s", model, what)
    return _unusable(f"the inference server gave no usable answer for model {model!r}")


def _unusable(what: str) -> BackendFailed:
    return BackendFailed(
        f"{what}; try again, and if it stays, tell the operator, whose log says why", stage="inference"
    )
