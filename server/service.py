"""The running service: REST, WebSocket and gRPC in one process and on one event loop, from start to last answer."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from server import __version__
from server.api.rest import connection
from server.api.ws.listening import socket_options
from server.app import create_app
from server.bounds import connection_bounds_of
from server.errors import ConfigurationError
from server.settings import Settings
from server.telemetry import logging as telemetry_logging

_log = logging.getLogger(__name__)


class Service(uvicorn.Server):
    """Serves an application on `listener`, and gRPC beside it; calls `on_ready` with the URL of REST and the address
    of gRPC once both answer.
    """

    def __init__(
        self, app: FastAPI, settings: Settings, listener: socket.socket, on_ready: Callable[[str, str], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connection.protocol(connection_bounds_of(settings)),
                h11_max_incomplete_event_size=settings.server.header_bytes,
                **socket_options(settings.server.socket_message_bytes),
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=max(1, round(settings.server.drain_seconds)),
            )
        )
        self._listener = listener
        self._on_ready = on_ready
        self._drain_s = settings.server.drain_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets or [self._listener])
        if self.started:
            self._on_ready(url_of(self._listener), self.lifespan.state["grpc"].address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """All stop taking requests at once, and drain side by side."""
        if "grpc" in self.lifespan.state:
            self.lifespan.state["sockets"].end_streams()
            self.lifespan.state["grpc"].begin_to_stop(self._drain_s)
        await super().shutdown(sockets)


def listen(settings: Settings) -> socket.socket:
    """A bound socket. Raises `ConfigurationError` where the address is taken or not ours."""
    return _bound(settings.server.host, settings.server.port, "GLIMPSE_SERVER__PORT")


def _bound(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off, which would cost a request 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with {setting}"
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The address of the service, as a client on this machine would type it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(settings: Settings, *, on_ready: Callable[[str, str], None] = lambda *_: None) -> None:
    """Serve until SIGINT or SIGTERM, then let requests in flight finish.

    Raises `ConfigurationError` where the service cannot start.
    """
    listener = listen(settings)
    try:
        # The library binds this port by itself, later, and could not say as plainly that it is taken.
        _bound(settings.server.host, settings.server.grpc_port, "GLIMPSE_SERVER__GRPC_PORT").close()
    except ConfigurationError:
        listener.close()
        raise
    telemetry_logging.configure(settings.telemetry.log_level, settings.telemetry.log_format)

    def announce(url: str, grpc: str) -> None:
        extra = {"url": url, "grpc": grpc, "version": __version__, "backend": settings.backend.kind}
        _log.info("listening", extra=extra)
        on_ready(url, grpc)

    # uvicorn raises the signal that ended it once more; as an interrupt it ends here, with exit status 0.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            Service(create_app(settings), settings, listener, announce).run()
    except SystemExit as end:
        raise ConfigurationError("the service could not start; the log says why") from end
    finally:
        listener.close()
        signal.signal(signal.SIGTERM, previous)
