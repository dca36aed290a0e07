"""The running service: REST, WebSocket and gRPC in one process and on one event loop, from start to last answer."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from server import __version__
from server.api.rest import connection
from server.api.ws.listening import socket_options
from server.app import create_app
from server.errors import ConfigurationError
from server.guarded import check_exposure
from server.listener import bound, url_of
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
                http=connection.protocol(settings.server.header_seconds),
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
        self._handshake_s = settings.tls.handshake_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        # Without sockets of its own uvicorn starts all but the listening, for which it knows no time of a handshake
        # and no second certificate.
        await super().startup(sockets or [])
        certificates = self.lifespan.state["certificates"]
        if certificates is None:
            await self._listen(None)
        else:
            await certificates.present_by(self._listen)
        self._on_ready(url_of(self._listener, encrypted=certificates is not None), self.lifespan.state["grpc"].address)

    async def _listen(self, context: ssl.SSLContext | None) -> None:
        """Accept connections under `context` from now on; those that are open stay as they are."""

        def connected() -> asyncio.Protocol:
            kind: type[connection.Connection] = self.config.http_protocol_class  # type: ignore[assignment]
            return kind(self.config, self.server_state, self.lifespan.state)

        loop = asyncio.get_running_loop()
        # Both may accept for a moment, so that nobody is refused between them.
        server = await loop.create_server(
            connected,
            sock=self._listener.dup(),
            ssl=context,
            backlog=self.config.backlog,
            ssl_handshake_timeout=self._handshake_s if context else None,
        )
        previous, self.servers = self.servers, [server]
        for each in previous:
            for listening in each.sockets:
                loop.remove_reader(listening.fileno())
        # What was accepted in this turn of the loop is taken over in the next, by a server that must still be open.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for each in previous:
            each.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """All stop taking requests at once, and drain side by side."""
        self._listener.close()
        if "grpc" in self.lifespan.state:
            self.lifespan.state["sockets"].end_streams()
            self.lifespan.state["grpc"].begin_to_stop(self._drain_s)
        await super().shutdown(sockets)


def listen(settings: Settings) -> socket.socket:
    """A bound socket. Raises `ConfigurationError` where the address is taken or not ours."""
    return bound(settings.server.host, settings.server.port, "GLIMPSE_SERVER__PORT")


def run(
    settings: Settings,
    *,
    on_ready: Callable[[str, str], None] = lambda *_: None,
    on_warning: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGINT or SIGTERM, then let requests in flight finish. `on_warning` is told what stands in the log as
    well, but must not be overlooked.

    Raises `ConfigurationError` where the service cannot start, or must not.
    """
    exposed = check_exposure(settings)
    listener = listen(settings)
    try:
        # These ports are bound later, where it could not be said as plainly that they are taken.
        bound(settings.server.host, settings.server.grpc_port, "GLIMPSE_SERVER__GRPC_PORT").close()
        if settings.admin.port is not None:
            bound(settings.admin.host, settings.admin.port, "GLIMPSE_ADMIN__PORT").close()
        telemetry_logging.configure(settings.telemetry.log_level, settings.telemetry.log_format)
        if exposed:
            _log.warning(exposed)
            on_warning(exposed)
    except ConfigurationError:
        listener.close()
        raise

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
