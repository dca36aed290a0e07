"""Around every call: its request id, its record in the log and in the metrics, and errors as status and metadata."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc

from server.api.gateway import Telemetry, now
from server.api.status import status_of
from server.errors import BackendUnavailable, DeadlineExceeded, GlimpseError, LimitExceeded, Overloaded
from server.telemetry.context import REQUEST_ID, accepted_or_new

SERVICE = "glimpse.v1.MicroExpressions"
REQUEST_ID_KEY = "x-request-id"
MESSAGE_SETTING = "GLIMPSE_SERVER__GRPC_MESSAGE_BYTES"
_FACT_CHARACTERS = 256
# What is answered at the last moment still has to reach the client.
_TRAVEL_S = 0.05
_STATUS_S = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One call: what it is named by, when it came, and how its messages are read and written."""

    context: Any
    request_id: str
    arrived: float
    message_bytes: int

    @property
    def wanted_s(self) -> float | None:
        """Seconds that the client gives it, None where it sets no deadline."""
        remaining: float | None = self.context.time_remaining()
        return None if remaining is None else max(remaining - _TRAVEL_S, _TRAVEL_S)

    async def read(self) -> Any:
        """The next message, None after the last. Raises `LimitExceeded` for one that is too large."""
        message = await self.context.read()
        if message is grpc.aio.EOF:
            return None
        if message.ByteSize() > self.message_bytes:
            text = f"the message is larger than {self.message_bytes} bytes ({MESSAGE_SETTING})"
            raise LimitExceeded(text, setting=MESSAGE_SETTING, limit=self.message_bytes, stage="upload")
        return message

    async def write(self, message: Any, longest_s: float) -> None:
        """Send one message. Raises `DeadlineExceeded` where the client does not read for `longest_s` seconds."""
        try:
            async with asyncio.timeout(longest_s):
                await self.context.write(message)
        except TimeoutError:
            text = f"the client did not read its answers for {longest_s:g} s"
            raise DeadlineExceeded(text, stage="answer") from None


@asynccontextmanager
async def answered(context: Any, method: str, telemetry: Telemetry, message_bytes: int) -> AsyncIterator[Call]:
    """Serve one call of `method`: whatever is raised inside becomes its status."""
    arrived = now()
    offered = dict(context.invocation_metadata() or ()).get(REQUEST_ID_KEY, "")
    request_id = accepted_or_new(offered if isinstance(offered, str) else "")
    token = REQUEST_ID.set(request_id)
    status = "CANCELLED"
    try:
        await context.send_initial_metadata(((REQUEST_ID_KEY, request_id),))
        try:
            yield Call(context, request_id, arrived, message_bytes)
            status = "OK"
        except Exception as error:  # noqa: BLE001 - whatever it was, the client gets a status
            status = _noted(error, telemetry)
            await _abort(context, error, request_id)
    except asyncio.CancelledError:
        telemetry.count_cancelled(method.lower())
        raise
    finally:
        seconds = now() - arrived
        telemetry.observe_request(f"/{SERVICE}/{method}", status, seconds)
        extra = {"method": "GRPC", "route": f"/{SERVICE}/{method}", "status": status}
        _log.info("request", extra={**extra, "duration_ms": round(seconds * 1000, 1)})
        REQUEST_ID.reset(token)


def _noted(error: Exception, telemetry: Telemetry) -> str:
    """The name of the status of an error that is about to be answered, after it was counted or logged."""
    if not isinstance(error, GlimpseError):
        _log.error("unforeseen error", exc_info=error)
        return status_of(GlimpseError).grpc
    status = status_of(error)
    if status.http < 500:
        telemetry.count_rejected(error.code)
    else:
        _log.warning("request failed", extra={"code": error.code, "stage": error.stage, "reason": error.message})
    return status.grpc


async def _abort(context: Any, error: Exception, request_id: str) -> None:
    """End the call with the status of `error`, and what a client may act on as trailing metadata."""
    known = error if isinstance(error, GlimpseError) else GlimpseError("")
    status = status_of(known)
    message = status.advice if status.private else known.message
    facts = tuple(trailing(known, request_id=request_id).items())
    # A client that reads nothing does not take its status either, which must not keep the call.
    with suppress(TimeoutError):
        async with asyncio.timeout(_STATUS_S):
            await context.abort(grpc.StatusCode[status.grpc], message, facts)


def trailing(error: GlimpseError, *, request_id: str) -> dict[str, str]:
    """The metadata of an error, ASCII by lower-case key: see `docs/grpc.md`."""
    status = status_of(error)
    facts = {
        "glimpse-code": error.code,
        "glimpse-stage": error.stage,
        "glimpse-retryable": "true" if status.retryable else "false",
        "glimpse-request-id": request_id,
    }
    if isinstance(error, Overloaded | BackendUnavailable):
        facts["glimpse-retry-after-s"] = str(max(1, math.ceil(float(error.details.get("retry_after_s", 1.0)))))
    if not status.private:
        for name in ("option", "setting", "limit"):
            value = str(error.details.get(name, ""))
            if value and value.isascii() and value.isprintable() and len(value) <= _FACT_CHARACTERS:
                facts[f"glimpse-{name}"] = value
    return facts
