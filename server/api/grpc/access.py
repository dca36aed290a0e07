"""Who may ask by gRPC: decided from the metadata of a call, before any of its messages is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from server.access.caller import CALLER, Caller
from server.access.credentials import Offered
from server.access.guard import TooOften
from server.access.scopes import METHODS, Rule, rule_of_method
from server.api.gateway import Gateway
from server.api.grpc.calls import answered
from server.api.grpc.credentials import peer_name
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
        offered = _offered(details.invocation_metadata)
        if offered.nothing and (handler := await continuation(details)) is not None:
            # A certificate is known in the call alone.
            return self._admitting(handler, details.method, rule)
        try:
            grant = await self._gateway.guard.admit(offered, rule, "")
        except GlimpseError as error:
            if isinstance(error, TooOften):
                CALLER.set(error.caller)
            return self._refusing(details.method, error)
        CALLER.set(grant.caller)
        return await continuation(details)

    def _admitting(self, handler: Any, method: str, rule: Rule) -> Any:
        """`handler`, once it is known who asks without a credential."""
        refusal = self._refusing
        guard = self._gateway.guard
        inner = handler.stream_stream or handler.unary_unary

        async def admitted(messages: Any, context: Any) -> Any:
            try:
                grant = await guard.admit(Offered(), rule, "", peer_name(context))
            except GlimpseError as error:
                return await refusal(method, error).stream_stream(messages, context)
            CALLER.set(grant.caller)
            return await inner(messages, context)

        return handler._replace(**{"stream_stream" if handler.stream_stream else "unary_unary": admitted})

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
