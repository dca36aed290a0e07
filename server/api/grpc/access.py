"""Who may ask by gRPC: decided from the metadata of a call, before any of its messages is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc

from server.access.caller import CALLER, Caller
from server.access.credentials import Offered
from server.access.scopes import METHODS, Rule, rule_of_method
from server.api.gateway import Gateway
from server.api.grpc.calls import Call, answered
from server.api.grpc.credentials import peer_name
from server.errors import GlimpseError

_SIDES = {False: "unary", True: "stream"}


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
        guard = self._gateway.guard
        if guard.certificate_scopes is not None and not (offered.authorization or offered.api_key):
            return self._asking_certificate(details.method, rule, await continuation(details))
        try:
            await guard.admit(offered, rule, "")
        except GlimpseError as error:
            return self._refusing(details.method, error)
        return await continuation(details)

    def _asking_certificate(self, method: str, rule: Rule, handler: Any) -> Any:
        """The method for whoever shows a certificate, which only the call itself knows."""
        if handler is None:
            return None
        kind = f"{_SIDES[handler.request_streaming]}_{_SIDES[handler.response_streaming]}"
        behaviour = getattr(handler, kind)

        async def admitted(messages: Any, context: Any) -> Any:
            try:
                await self._gateway.guard.admit(Offered(certificate=peer_name(context)), rule, "")
            except GlimpseError:
                async with self._told(context, method.rpartition("/")[2], streamed=handler.request_streaming):
                    raise
            return await behaviour(messages, context)

        return getattr(grpc, f"{kind}_rpc_method_handler")(
            admitted, handler.request_deserializer, handler.response_serializer
        )

    def _refusing(self, method: str, error: GlimpseError) -> Any:
        """Ends a call of any kind without looking into its messages."""
        name = method.rpartition("/")[2] if method in METHODS else "unmatched"

        async def refuse(_: Any, context: Any) -> None:
            async with self._told(context, name, streamed=True):
                raise error

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _told(self, context: Any, name: str, *, streamed: bool) -> AbstractAsyncContextManager[Call]:
        gateway = self._gateway
        telemetry, message_bytes, taken_s = gateway.telemetry, gateway.facts.message_bytes, gateway.limits.answer_s
        return answered(context, name, telemetry, message_bytes, streamed=streamed, taken_s=taken_s)


def _offered(metadata: Any) -> Offered:
    given: dict[str, list[str]] = {"authorization": [], "x-api-key": []}
    for name, value in metadata or ():
        if name in given:
            given[name].append(value if isinstance(value, str) else "")
    return Offered(authorization=given["authorization"], api_key=given["x-api-key"])
