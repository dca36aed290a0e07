"""One connection of WebSocket: what it may take, how it is kept alive, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from server.api.rest import problems

_OVERHEAD = 2
"""Past so many times the limit the library itself refuses a message; below that we do, naming the setting."""
_PING_S, _PONG_S = 20.0, 10.0
_FRAGMENTS = 4096
_CLOSE_S = 1.0
"""How long the other side has to answer our close, and to take what was written."""


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, with what it leaves unbounded bounded, and with streams that end in their own time at a shutdown."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.close_timeout = _CLOSE_S
        self._deaf = False
        self._heard_at = 0.0

    def data_received(self, data: bytes) -> None:
        """Anything is a sign of life; after a message that was refused whole, what follows is thrown away."""
        self._heard_at = self.loop.time()
        if self._deaf:
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # The library has refused it by itself, and would neither say so nor close the connection.
            self._deaf = True
            self.transport.write(problems.last_words(problems.ProtocolError(400, "the bytes are no handshake")))
            self.transport.close()
            self._abort_later()

    def handle_cont(self, event: Frame) -> None:
        """A message of very many pieces, which may be empty, is refused: the limit in bytes does not see them."""
        if len(self.frames) >= _FRAGMENTS:
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
        else:
            super().handle_cont(event)

    def handle_ping(self) -> None:
        """Who does not read what is written gets no answers to pings either, which would pile up."""
        output = self.conn.data_to_send()
        if self.writable.is_set():
            self.transport.write(b"".join(output))

    def handle_parser_exception(self) -> None:
        """Say why, and go on reading for a moment: a socket closed with unread bytes would destroy what was said."""
        if self._deaf:
            return
        self._deaf = self.close_sent = True
        said = self.conn.close_sent
        self.queue.put_nowait({"type": "websocket.disconnect", "code": said.code if said else 1002, "reason": ""})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)

    def keepalive_timeout(self) -> None:
        """A pong that is late only because pictures are before it, or because we do not read, is no sign of death."""
        if self.read_paused or self.loop.time() - self._heard_at < _PONG_S:
            self.pong_timer = self.loop.call_later(_PONG_S, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self._abort_later()

    def shutdown(self) -> None:
        """A stream is ended by whoever serves it, with its last answers."""
        if not self.handshake_complete or self.close_sent:
            super().shutdown()

    async def send(self, message: Any) -> None:
        """Raises `ClientDisconnected` as soon as the connection closes, also where the library closes it."""
        if self._deaf or self.transport.is_closing():
            raise ClientDisconnected
        await super().send(message)

    async def run_asgi(self) -> None:
        """However it ends, the connection is gone soon after; at once where a shutdown has waited long enough."""
        try:
            await super().run_asgi()
        finally:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                self.transport.close()
            self._abort_later()

    def _abort_later(self) -> None:
        self.loop.call_later(2 * self.close_timeout, self.transport.abort)


def socket_options(message_bytes: int) -> dict[str, Any]:
    """What `uvicorn.Config` is told. Pictures do not shrink by compression, which would cost memory and time."""
    return {
        "ws": SocketProtocol,
        "ws_max_size": _OVERHEAD * message_bytes,
        "ws_ping_interval": _PING_S,
        "ws_ping_timeout": _PONG_S,
        "ws_per_message_deflate": False,
    }
