"""The server of gRPC on its port: what it serves, how it keeps connections alive, and how it ends."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from glimpse.v1 import micro_expressions_pb2_grpc as pb_grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from server.api.gateway import Gateway
from server.api.grpc import unregistered
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


@dataclass(frozen=True, slots=True)
class GrpcBounds:
    """A connection that is silent for `keepalive_s` seconds is probed, and given up after half as long again; one that
    has no call for `idle_s` is closed, one whose handshake is not done within `header_s` as well. `header_bytes`
    are those of a call's metadata.
    """

    keepalive_s: float
    idle_s: float
    header_s: float
    header_bytes: int


class GrpcServer:
    """One server. Made, started and stopped on the event loop that serves it."""

    def __init__(self, gateway: Gateway, *, reflect: bool, bounds: GrpcBounds) -> None:
        self._servicer = Servicer(gateway)
        self._health = Health(gateway.analyzer)
        limits = gateway.limits
        calls = limits.uploads + limits.inflight + limits.queued + gateway.live.bounds.max_streams + _SPARE_CALLS
        options = _options(gateway.facts.message_bytes, bounds, calls)
        self._server = unregistered.server((AccessInterceptor(gateway),), options, calls)
        pb_grpc.add_MicroExpressionsServicer_to_server(cast("MicroExpressionsServicer", self._servicer), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflect:
            reflection.enable_server_reflection((SERVICE, HEALTH, reflection.SERVICE_NAME), self._server)
        self._ending: asyncio.Task[None] | None = None
        self._cut: asyncio.Future[None] | None = None
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

    def end_at_once(self) -> None:
        """Cut the time of `begin_to_stop` short: calls that are open are cancelled."""
        self._cut = asyncio.ensure_future(self._server.stop(0))

    async def stopped(self) -> None:
        """Wait until `begin_to_stop` has done its work."""
        if self._ending is not None:
            await self._ending

    async def _stop(self, drain_s: float) -> None:
        await self._server.stop(drain_s)


def _options(message_bytes: int, bounds: GrpcBounds, calls: int) -> tuple[tuple[str, int], ...]:
    keepalive_ms = round(1000 * bounds.keepalive_s)
    return (
        ("grpc.max_receive_message_length", _OVERHEAD * message_bytes),
        ("grpc.max_send_message_length", -1),
        # A taken port is an error, not a port to share.
        ("grpc.so_reuseport", 0),
        ("grpc.server_handshake_timeout_ms", round(1000 * bounds.header_s)),
        ("grpc.max_connection_idle_ms", round(1000 * bounds.idle_s)),
        ("grpc.max_concurrent_streams", calls),
        # The first is that from which the library may refuse, the second that from which it does.
        ("grpc.max_metadata_size", bounds.header_bytes),
        ("grpc.absolute_max_metadata_size", bounds.header_bytes),
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
