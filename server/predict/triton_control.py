"""Loading and unloading models of a Triton that leaves both to others (`--model-control-mode=explicit`)."""

from __future__ import annotations

import logging
from typing import Literal

import grpc
from tritonclient.grpc import InferenceServerException
from tritonclient.grpc.aio import InferenceServerClient

from server.errors import BackendUnavailable, GlimpseError, ModelError, UnknownModel
from server.predict.triton_addresses import Addresses, Endpoint
from server.predict.triton_protocol import translated

_NOT_EXPLICIT = "explicit model load / unload is not allowed"
_NOT_THERE = "failed to poll from model repository"

_log = logging.getLogger(__name__)


class TritonControl:
    """Asks every Triton at `address`, one after the other, over connections of its own, which `credentials` encrypt.

    Both may be asked again: what is loaded is loaded anew, what is gone stays so. Raises `ConfigurationError` for what
    is no address.
    """

    def __init__(
        self, address: str, *, credentials: grpc.ChannelCredentials | None = None, timeout_s: float = 120.0
    ) -> None:
        self._addresses = Addresses(address)
        self._credentials = credentials
        self._timeout_s = timeout_s

    async def load(self, name: str) -> None:
        """Load a model, or load it anew.

        Raises `UnknownModel`, `ModelError`, `BackendUnavailable`, `BackendFailed` with what the first server that
        failed said; those before it have done it, those after it were not asked.
        """
        await self._ask("load", name)

    async def unload(self, name: str) -> None:
        """Unload a model; requests that it works on finish. Raises what `load` raises."""
        await self._ask("unload", name)

    async def _ask(self, what: Literal["load", "unload"], name: str) -> None:
        await self._addresses.look_up()
        endpoints = self._addresses.known()
        if not endpoints:
            raise BackendUnavailable("the name of the inference server is not found", stage="inference")
        for done, endpoint in enumerate(endpoints):
            try:
                await self._ask_one(endpoint, what, name)
            except GlimpseError as error:
                if done:
                    message = f"{error.message} ({done} of {len(endpoints)} servers did {what} it: ask again)"
                    raise type(error)(message, stage=error.stage) from error
                raise
        _log.info("a model of Triton was asked for", extra={"what": what, "model": name})

    async def _ask_one(self, endpoint: Endpoint, what: Literal["load", "unload"], name: str) -> None:
        options = endpoint.channel_options()
        async with InferenceServerClient(endpoint.target, creds=self._credentials, channel_args=options) as client:
            call = client.load_model if what == "load" else client.unload_model
            try:
                await call(name, client_timeout=self._timeout_s)
            except InferenceServerException as error:
                raise _meaning(error, name) from error


def _meaning(error: InferenceServerException, name: str) -> GlimpseError:
    said = str(error.message() or "")
    if _NOT_EXPLICIT in said:
        message = "this Triton loads models by itself; start it with --model-control-mode=explicit"
        return ModelError(message, stage="inference")
    if _NOT_THERE in said:
        return UnknownModel(f"the repository of the inference server has no model {name!r}", stage="inference")
    return translated(error, name)
