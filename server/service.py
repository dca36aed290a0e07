"""The running service: REST, WebSocket and gRPC in one process and on one event loop, from start to last answer."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from server import __version__
from server.api.rest import connection
from server.api.ws.listening import socket_options
from server.app import create_app
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
        self._tasks: set[asyncio.Task[None]] = set()

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
        # Without anything to read again, the signal of a terminal that is closed ends the service, as it always did.
        if self.lifespan.state["reloads"] and threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload)
        self._on_ready(url_of(self._listener, encrypted=certificates is not None), self.lifespan.state["grpc"].address)

    def reload(self) -> None:
        """Read again what may change while the service runs: each of `reloads` in the state of the application."""
        for again in self.lifespan.state["reloads"]:
            task = asyncio.get_running_loop().create_task(again())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

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


def url_of(listener: socket.socket, *, encrypted: bool = False) -> str:
    """The address of the service, as a client on this machine would type it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    scheme = "https" if encrypted else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


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
