"""The four methods of `glimpse.v1.MicroExpressions`."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

from glimpse.v1 import micro_expressions_pb2 as pb

from server.access.caller import CALLER
from server.api.ending import Ending
from server.api.gateway import Gateway
from server.api.grpc import clips, convert, streams
from server.api.grpc.calls import Call, answered


class Servicer:
    """Implements the generated `MicroExpressionsServicer`; its streams read and write instead of iterating, so that
    one task holds a call from its beginning to its end.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._ending = asyncio.Event()

    def end_streams(self) -> None:
        """Let live streams answer what they have, and end."""
        self._ending.set()

    async def Analyze(self, _: Any, context: Any) -> None:
        """See `server.api.grpc.clips`."""
        async with self._answered(context, "Analyze", streamed=True) as call:
            await clips.analyze(call, self._gateway)

    async def Live(self, _: Any, context: Any) -> None:
        """See `server.api.grpc.streams`."""
        async with self._answered(context, "Live", streamed=True) as call:
            with self._gateway.guard.lease(CALLER.get()) as lease:
                await streams.live(call, self._gateway, Ending(self._ending, lease))

    async def ListModels(self, _: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:
        """Every model, servable or not."""
        async with self._answered(context, "ListModels"):
            answer = convert.models(await self._gateway.analyzer.models())
        return answer  # noqa: RET504 - inside, a type checker would miss a return behind it

    async def GetServerInfo(self, _: pb.GetServerInfoRequest, context: Any) -> pb.GetServerInfoResponse:
        """Every limit."""
        async with self._answered(context, "GetServerInfo"):
            answer = convert.server_info(self._gateway.facts, self._gateway.live)
        return answer  # noqa: RET504 - inside, a type checker would miss a return behind it

    def _answered(self, context: Any, method: str, *, streamed: bool = False) -> AbstractAsyncContextManager[Call]:
        gateway = self._gateway
        return answered(context, method, gateway.telemetry, gateway.facts.message_bytes, streamed=streamed)
