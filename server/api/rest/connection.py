"""One connection: what the headers of a request may take, how long a client may take for its answer, who the client is
by its certificate, and clients that close their sending half.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from dataclasses import dataclass
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.api.rest import problems
from server.errors import Overloaded
from server.tls.identity import certificate_name

_NO_WORK = {"GET", "HEAD"}
_NO_LINGER = struct.pack("ii", 1, 0)
_HEADER_SETTING = "GLIMPSE_SERVER__HEADER_BYTES"


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """`header_s` seconds and `header_bytes` for the header of a request; `answer_s` seconds in which a client may take
    nothing of what is written to it; `most` connections at a time.
    """

    header_s: float
    header_bytes: int
    answer_s: float
    most: int


class Connection(H11Protocol):
    """uvicorn's, which has no bound of its own between a connection and the end of its first request's headers, nor for
    a client that does not read.
    """

    bounds: ClassVar[ConnectionBounds]
    _headers_due: asyncio.TimerHandle | None = None
    _unread_due: asyncio.TimerHandle | None = None
    _unread_bytes = 0

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
        if len(self.connections) > self.bounds.most:
            message = f"{self.bounds.most} connections are open, as many as are served (GLIMPSE_SERVER__CONNECTIONS)"
            self._say(Overloaded(message))

    def data_received(self, data: bytes) -> None:
        """Headers are due until a request is there, and again once a next one begins."""
        super().data_received(data)
        self._watch_headers()

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

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, or has too long a header, as everything else is refused."""
        if getattr(sys.exception(), "error_status_hint", 400) == 431:
            limit = self.bounds.header_bytes
            text = f"the header of the request is larger than {limit} bytes ({_HEADER_SETTING})"
            self._say(problems.ProtocolError(431, text, setting=_HEADER_SETTING, limit=limit))
        else:
            self._say(problems.ProtocolError(400, "the bytes are no request of HTTP/1.1"))

    def _say(self, error: Exception) -> None:
        """The last words on a connection, of no request that anybody saw."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.write(problems.last_words(error))
        self.transport.close()
        self._watch_reader()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._forget_reader()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more is expected of the client; it may still take what it has not read."""
        super().timeout_keep_alive_handler()
        self._watch_reader()

    def _watch_reader(self) -> None:
        if self._unread_due is None:
            self._unread_bytes = self.transport.get_write_buffer_size()
            self._unread_due = self.loop.call_later(self.bounds.answer_s, self._look_at_reader)

    def _look_at_reader(self) -> None:
        """Give up a client that has taken nothing since the last look."""
        self._unread_due = None
        left = self.transport.get_write_buffer_size()
        if left and left >= self._unread_bytes:
            # Without this the kernel would go on offering what it holds, for minutes.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()
        elif left:
            self._watch_reader()

    def _forget_reader(self) -> None:
        if self._unread_due is not None:
            self._unread_due.cancel()
            self._unread_due = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due any more."""
        self._forget_headers()
        self._forget_reader()
        super().connection_lost(exc)

    def _watch_headers(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget_headers()
        elif self._headers_due is None:
            self._headers_due = self.loop.call_later(self.bounds.header_s, self.timeout_keep_alive_handler)

    def _forget_headers(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None


def protocol(bounds: ConnectionBounds) -> type[Connection]:
    """The class of connections that keep these bounds."""
    return type("Connection", (Connection,), {"bounds": bounds})
