"""grpc.health.v1: what `/readyz` says, for whoever asks by gRPC."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from server.api.grpc.calls import SERVICE
from server.api.readiness import readiness_of
from server.pipeline.base import Analyzer

NAME = "grpc.health.v1.Health"
_KNOWN = ("", SERVICE)
_WATCH_S = 1.0


class Health:
    """Implements the generated `HealthServicer`. It asks for what probes in the background found."""

    def __init__(self, analyzer: Analyzer, *, watch_s: float = _WATCH_S) -> None:
        self._analyzer = analyzer
        self._watch_s = watch_s
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Not serving from now on; whoever watches is told, and its call ends."""
        self._ending.set()

    async def Check(self, request: Any, context: Any) -> Any:
        """SERVING where a request would be answered now; NOT_FOUND for a service that is not here."""
        if request.service not in _KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return await self._status()

    async def Watch(self, request: Any, context: Any) -> None:
        """The status, and again whenever it has changed."""
        told = None
        while True:
            status = await self._status() if request.service in _KNOWN else _response("SERVICE_UNKNOWN")
            if status != told:
                await context.write(status)
                told = status
            if self._ending.is_set():
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(self._watch_s):
                    await self._ending.wait()

    async def _status(self) -> Any:
        if self._ending.is_set():
            return _response("NOT_SERVING")
        readiness = await readiness_of(self._analyzer)
        return _response("SERVING" if readiness.ready else "NOT_SERVING")


def _response(status: str) -> Any:
    return health_pb2.HealthCheckResponse(status=status)
