"""Who may ask by gRPC: decided from the metadata of a call, before any of its messages is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from server.access.caller import CALLER, Caller
from server.access.credentials import Offered
from server.access.scopes import METHODS, rule_of_method
from server.api.gateway import Gateway
from server.api.grpc.calls import answered
from server.errors import GlimpseError


class AccessInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Before every method, known or not; it runs in the task of the call, whose context variables it may set."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """The method, or what refuses in its place."""
        CALLER.set(Caller())
        rule = rule_of_method(details.method)
        if rule is None:
            return await continuation(details)
        try:
            await self._gateway.guard.admit(_offered(details.invocation_metadata), rule, "")
        except GlimpseError as error:
            return self._refusing(details.method, error)
        return await continuation(details)

    def _refusing(self, method: str, error: GlimpseError) -> Any:
        """Ends a call of any kind without looking into its messages."""
        name = method.rpartition("/")[2] if method in METHODS else "unmatched"
        gateway = self._gateway

        async def refuse(_: Any, context: Any) -> None:
            told = answered(context, name, gateway.telemetry, gateway.facts.message_bytes, streamed=True)
            async with told:
                raise error

        return grpc.stream_stream_rpc_method_handler(refuse)


def _offered(metadata: Any) -> Offered:
    given: dict[str, list[str]] = {"authorization": [], "x-api-key": []}
    for name, value in metadata or ():
        if name in given:
            given[name].append(value if isinstance(value, str) else "")
    return Offered(authorization=given["authorization"], api_key=given["x-api-key"])
