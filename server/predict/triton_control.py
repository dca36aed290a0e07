"""Loading and unloading models of a Triton that leaves both to others (`--model-control-mode=explicit`)."""

from __future__ import annotations

import logging
from typing import Literal

import grpc
from tritonclient.grpc import InferenceServerException
from tritonclient.grpc.aio import InferenceServerClient

from server.errors import GlimpseError, ModelError, UnknownModel
from server.predict.triton_protocol import CHANNEL_OPTIONS, target, translated

_NOT_EXPLICIT = "explicit model load / unload is not allowed"
_NOT_THERE = "failed to poll from model repository"

_log = logging.getLogger(__name__)


class TritonControl:
    """Asks Triton at `address` over a connection of its own, which `credentials` encrypt. Raises `ConfigurationError`
    for what is no address.
    """

    def __init__(
        self, address: str, *, credentials: grpc.ChannelCredentials | None = None, timeout_s: float = 120.0
    ) -> None:
        self._target = target(address)
        self._credentials = credentials
        self._timeout_s = timeout_s

    async def load(self, name: str) -> None:
        """Load a model, or load it anew. Raises `UnknownModel`, `ModelError`, `BackendUnavailable`, `BackendFailed`."""
        await self._ask("load", name)

    async def unload(self, name: str) -> None:
        """Unload a model; requests that it works on finish. Raises what `load` raises."""
        await self._ask("unload", name)

    async def _ask(self, what: Literal["load", "unload"], name: str) -> None:
        options = list(CHANNEL_OPTIONS)
        async with InferenceServerClient(self._target, creds=self._credentials, channel_args=options) as client:
            call = client.load_model if what == "load" else client.unload_model
            try:
                await call(name, client_timeout=self._timeout_s)
            except InferenceServerException as error:
                raise _meaning(error, name) from error
        _log.info("a model of Triton was asked for", extra={"what": what, "model": name})


def _meaning(error: InferenceServerException, name: str) -> GlimpseError:
    said = str(error.message() or "")
    if _NOT_EXPLICIT in said:
        message = "this Triton loads models by itself; start it with --model-control-mode=explicit"
        return ModelError(message, stage="inference")
    if _NOT_THERE in said:
        return UnknownModel(f"the repository of the inference server has no model {name!r}", stage="inference")
    return translated(error, name)
