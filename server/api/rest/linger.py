"""Closing a connection whose request body was not wanted, so that the client still reads the answer.

A socket that is closed with unread bytes sends a reset, which can destroy an answer on its way. The answer is sent
whole, then what still comes is thrown away for a moment, then the connection is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_S = 2.0
LINGER_BYTES = 16 * 2**20


class LingeringClose:
    """Plain ASGI around one application."""

    def __init__(self, app: ASGIApp, *, seconds: float = LINGER_S, size: int = LINGER_BYTES) -> None:
        self._app = app
        self._seconds = seconds
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        ended = False
        closing = False

        async def receive_marked() -> Message:
            nonlocal ended
            message = await receive()
            ended = ended or message["type"] == "http.disconnect" or not message.get("more_body", False)
            return message

        async def send_closing(message: Message) -> None:
            nonlocal closing
            if message["type"] == "http.response.start" and not ended:
                closing = True
                MutableHeaders(scope=message)["Connection"] = "close"
            if not closing or message["type"] != "http.response.body" or message.get("more_body", False):
                await send(message)
                return
            await send({**message, "more_body": True})
            await self._discard(receive_marked, lambda: ended)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, receive_marked, send_closing)

    async def _discard(self, receive: Receive, ended: Callable[[], bool]) -> None:
        left = self._size
        try:
            async with asyncio.timeout(self._seconds):
                while left > 0 and not ended():
                    left -= len((await receive()).get("body", b""))
        except TimeoutError:
            return


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
