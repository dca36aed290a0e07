"""The server of gRPC on its port: what it serves, how it keeps connections alive, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

import grpc
from glimpse.v1 import micro_expressions_pb2_grpc as pb_grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from server.api.gateway import Gateway
from server.api.grpc.access import AccessInterceptor
from server.api.grpc.calls import SERVICE
from server.api.grpc.credentials import credentials
from server.api.grpc.health import NAME as HEALTH
from server.api.grpc.health import Health
from server.api.grpc.servicer import Servicer
from server.errors import ConfigurationError
from server.tls.watch import Certificates

if TYPE_CHECKING:
    from glimpse.v1.micro_expressions_pb2_grpc import MicroExpressionsServicer

_log = logging.getLogger(__name__)

_OVERHEAD = 2
"""Past so many times the limit the library itself refuses a message; below that we do, naming the setting."""
_SPARE_CALLS = 64
_CLIENT_PING_MS = 5_000


class GrpcServer:
    """One server. Made, started and stopped on the event loop that serves it.

    A connection that is silent for `keepalive_s` seconds is probed, and given up after half as long again; one whose
    handshake takes longer than `handshake_s` seconds is closed.
    """

    def __init__(self, gateway: Gateway, *, reflect: bool, keepalive_s: float, handshake_s: float) -> None:
        self._servicer = Servicer(gateway)
        self._health = Health(gateway.analyzer)
        limits = gateway.limits
        calls = limits.uploads + limits.inflight + limits.queued + gateway.live.bounds.max_streams + _SPARE_CALLS
        options = _options(gateway.facts.message_bytes, round(1000 * keepalive_s), round(1000 * handshake_s))
        self._server = grpc.aio.server(
            interceptors=(AccessInterceptor(gateway),), options=options, maximum_concurrent_rpcs=calls
        )
        pb_grpc.add_MicroExpressionsServicer_to_server(cast("MicroExpressionsServicer", self._servicer), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflect:
            reflection.enable_server_reflection((SERVICE, HEALTH, reflection.SERVICE_NAME), self._server)
        self._ending: asyncio.Task[None] | None = None
        self.address = ""

    async def start(self, host: str, port: int, certificates: Certificates | None = None) -> None:
        """Listen, encrypted where there are `certificates`; `address` is then where. Raises `ConfigurationError` where
        the address cannot be had.
        """
        name = f"[{host}]" if ":" in host else host
        try:
            if certificates is None:
                port = self._server.add_insecure_port(f"{name}:{port}")
            else:
                port = self._server.add_secure_port(f"{name}:{port}", credentials(certificates))
        except RuntimeError:
            message = f"cannot listen on {name}:{port}; choose another with GLIMPSE_SERVER__GRPC_PORT"
            raise ConfigurationError(message) from None
        await self._server.start()
        reached = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(name, name)  # noqa: S104 - compared, not bound
        self.address = f"{reached}:{port}"

    def begin_to_stop(self, drain_s: float) -> None:
        """Take no new calls, let live streams end, and give others `drain_s` seconds."""
        if self._ending is None:
            self._servicer.end_streams()
            self._health.end()
            self._ending = asyncio.ensure_future(self._stop(drain_s))

    async def stopped(self) -> None:
        """Wait until `begin_to_stop` has done its work."""
        if self._ending is not None:
            await self._ending

    async def _stop(self, drain_s: float) -> None:
        await self._server.stop(drain_s)


def _options(message_bytes: int, keepalive_ms: int, handshake_ms: int) -> tuple[tuple[str, int], ...]:
    return (
        ("grpc.max_receive_message_length", _OVERHEAD * message_bytes),
        ("grpc.max_send_message_length", -1),
        # A taken port is an error, not a port to share.
        ("grpc.so_reuseport", 0),
        ("grpc.server_handshake_timeout_ms", handshake_ms),
        # A client that has vanished without a word is noticed. The first timeout is that of the kernel, for bytes that
        # nobody receives; the second, a minute by default, that of the answer, which a proxy may swallow.
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", keepalive_ms // 2),
        ("grpc.http2.ping_timeout_ms", keepalive_ms // 2),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # What a client may ask for by itself; one that asks more often is sent away (ENHANCE_YOUR_CALM).
        ("grpc.http2.min_ping_interval_without_data_ms", _CLIENT_PING_MS),
    )
