"""One connection: the time that the headers of a request may take, who its client is by certificate, and clients
that close their sending half.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.api.rest.headers import DEFAULTS
from server.tls.identity import certificate_name

_NO_WORK = {"GET", "HEAD"}


class Connection(H11Protocol):
    """uvicorn's, which has no bound of its own between a connection and the end of its first request's headers."""

    header_s: ClassVar[float]
    _headers_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Headers are due from now on. The state of every request, also of one that becomes a WebSocket, has the
        `certificate_name` of its client where the connection is encrypted.
        """
        super().connection_made(transport)
        encryption = transport.get_extra_info("ssl_object")
        if encryption is not None:
            shown = encryption.getpeercert(binary_form=True)
            self.app_state = {**self.app_state, "certificate_name": certificate_name(shown or b"")}
        self._watch_headers()

    def data_received(self, data: bytes) -> None:
        """Headers are due until a request is there, and again once a next one begins."""
        super().data_received(data)
        self._watch_headers()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered before any application; no browser takes that answer for a page either."""
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
        headers += [(name.lower().encode(), value.encode()) for name, value in DEFAULTS.items()]
        response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
        for event in (response, h11.Data(data=msg.encode("ascii")), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Still answer what costs nothing. What costs work is cancelled: whoever left looks the same from here."""
        cycle = self.cycle
        if self.scheme == "https":
            # A connection that is encrypted has no halves.
            return None
        if cycle is None or cycle.response_complete or cycle.scope["method"] not in _NO_WORK:
            return None
        cycle.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more."""
        self._forget_headers()
        super().connection_lost(exc)

    def _watch_headers(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget_headers()
        elif self._headers_due is None:
            self._headers_due = self.loop.call_later(self.header_s, self.timeout_keep_alive_handler)

    def _forget_headers(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None


def protocol(header_s: float) -> type[Connection]:
    """The class of connections that are closed when the headers of a request take longer than `header_s` seconds."""
    return type("Connection", (Connection,), {"header_s": header_s})
