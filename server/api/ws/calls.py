"""Around every connection: its request id, its record in the log and in the metrics, and how it is told its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from server.access.caller import CALLER, Caller
from server.api.gateway import Telemetry, now
from server.api.rest import problems
from server.api.rest.access import address_of
from server.api.rest.middleware import CLIENT_GONE, traceparent_of
from server.api.status import close_code_of
from server.api.ws import replies
from server.errors import DeadlineExceeded, GlimpseError, LimitExceeded, Overloaded
from server.spans import current, entered
from server.telemetry.context import REQUEST_ID, accepted_or_new

PATH = "/v1/live"
SUBPROTOCOL = "glimpse.v1"
MESSAGE_SETTING = "GLIMPSE_SERVER__SOCKET_MESSAGE_BYTES"
NORMAL, TOO_LARGE, RESTART = 1000, 1009, 1012
# What is told at the last moment must not wait for long for a client that does not read.
_FAREWELL_S = 2.0

_log = logging.getLogger(__name__)


class ClientLeft(Exception):
    """The connection is gone, with or without a word; nothing can be told any more."""


class ShuttingDown(Overloaded):
    """The service ends; another one, or this one later, may take the stream."""


@dataclass(frozen=True, slots=True)
class Call:
    """One connection: what it is named by, and how its messages are read and written."""

    socket: WebSocket
    request_id: str
    message_bytes: int

    async def accept(self, subprotocol: str | None) -> None:
        """Open the connection. Raises `ClientLeft`."""
        try:
            await self.socket.accept(subprotocol, headers=[(b"x-request-id", self.request_id.encode())])
        except OSError:
            raise ClientLeft from None

    async def read(self) -> str | bytes:
        """The next message. Raises `LimitExceeded` for one that is too large, `ClientLeft` where none will come."""
        message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            # Far above the limit the library closes by itself, before the message is there.
            raise self._too_large() if message.get("code") == TOO_LARGE else ClientLeft
        content = _content(message)
        if len(content) > self.message_bytes:
            raise self._too_large()
        return content

    async def write(self, message: str, longest_s: float) -> None:
        """Send one message. Raises `DeadlineExceeded` where the client does not read for `longest_s` seconds."""
        try:
            async with asyncio.timeout(longest_s):
                await self.socket.send_text(message)
        except TimeoutError:
            text = f"the client did not read its answers for {longest_s:g} s"
            raise DeadlineExceeded(text, stage="answer") from None
        except WebSocketDisconnect:
            raise ClientLeft from None

    def _too_large(self) -> LimitExceeded:
        text = f"the message is larger than {self.message_bytes} bytes ({MESSAGE_SETTING})"
        return LimitExceeded(text, setting=MESSAGE_SETTING, limit=self.message_bytes, stage="upload")


def _content(message: Message) -> str | bytes:
    content: str | bytes | None = message.get("bytes")
    return message["text"] if content is None else content


@asynccontextmanager
async def answered(socket: WebSocket, telemetry: Telemetry, message_bytes: int) -> AsyncIterator[Call]:
    """Serve one connection: whatever is raised inside becomes its last message and its close code."""
    arrived = now()
    request_id = accepted_or_new(socket.headers.get("x-request-id", ""))
    token = REQUEST_ID.set(request_id)
    nobody = CALLER.set(Caller(address=address_of(socket.scope)))
    status = CLIENT_GONE
    opened = {"http.request.method": "GET", "http.route": PATH, "glimpse.request_id": request_id}
    try:
        with entered(telemetry.tracer.request(f"GET {PATH}", traceparent_of(socket.scope), opened)):
            try:
                yield Call(socket, request_id, message_bytes)
                await _close(socket, NORMAL)
                status = NORMAL
            except (ClientLeft, WebSocketDisconnect):
                telemetry.count_cancelled("live")
                current().set({"glimpse.cancelled": True})
            except Exception as error:  # noqa: BLE001 - whatever it was, the client is told
                status = await _refuse(socket, error, telemetry)
            except asyncio.CancelledError:
                # Only the server cancels this outermost task, when a shutdown has waited long enough.
                status = await _refuse(socket, ShuttingDown("the service is shutting down", stage="live"), telemetry)
            finally:
                _record(status, now() - arrived, telemetry)
    finally:
        CALLER.reset(nobody)
        REQUEST_ID.reset(token)


def _record(status: int, seconds: float, telemetry: Telemetry) -> None:
    telemetry.observe_request(PATH, status, seconds)
    current().set({"websocket.close_code": status})
    extra = {"method": "WEBSOCKET", "route": PATH, "status": status, "caller": CALLER.get().label}
    _log.info("request", extra={**extra, "duration_ms": round(seconds * 1000, 1)})


async def _refuse(socket: WebSocket, error: Exception, telemetry: Telemetry) -> int:
    """Tell what ends the connection, and close it; the status under which it is counted."""
    if socket.application_state is WebSocketState.CONNECTING:
        response = problems.response(error, PATH, telemetry)
        with suppress(OSError):
            await socket.send_denial_response(response)
        return response.status_code
    problem = problems.noted(error, PATH, telemetry)
    code = _close_code(error)
    if socket.application_state is WebSocketState.DISCONNECTED:
        return code
    # A client that reads nothing does not take its reason either, which must not keep the connection.
    with suppress(TimeoutError, WebSocketDisconnect):
        async with asyncio.timeout(_FAREWELL_S):
            await socket.send_text(replies.failure(problem))
            await socket.close(code, problem["code"])
    return code


async def _close(socket: WebSocket, code: int) -> None:
    try:
        async with asyncio.timeout(_FAREWELL_S):
            await socket.close(code)
    except TimeoutError:
        raise ClientLeft from None


def _close_code(error: Exception) -> int:
    if isinstance(error, ShuttingDown):
        return RESTART
    return close_code_of(error if isinstance(error, GlimpseError) else GlimpseError(""))
