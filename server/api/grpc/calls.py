"""Around every call: its request id, its record in the log and in the metrics, and errors as status and metadata."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from server.access.addresses import peer
from server.access.caller import CALLER
from server.api.gateway import Telemetry, now
from server.api.grpc.abandoned import give_up
from server.api.status import status_of
from server.errors import BackendUnavailable, DeadlineExceeded, GlimpseError, InputError, LimitExceeded, Overloaded
from server.spans import ERROR_TYPE, Span, current, entered
from server.telemetry.context import REQUEST_ID, accepted_or_new

SERVICE = "glimpse.v1.MicroExpressions"
REQUEST_ID_KEY = "x-request-id"
_TRACEPARENT_KEY = "traceparent"
MESSAGE_SETTING = "GLIMPSE_SERVER__GRPC_MESSAGE_BYTES"
_FACT_CHARACTERS = 256
# What is answered at the last moment still has to reach the client.
_TRAVEL_S = 0.05
_STATUS_S = 2.0
_LINGER_S = 1.0
_QUIET_S = 0.1

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Call:
    """One call: what it is named by, when it came, and how its messages are read and written."""

    context: Any
    request_id: str
    arrived: float
    message_bytes: int
    _reading: asyncio.Future[Any] | None = None

    @property
    def wanted_s(self) -> float | None:
        """Seconds that the client gives it, None where it sets no deadline."""
        remaining: float | None = self.context.time_remaining()
        return None if remaining is None else max(remaining - _TRAVEL_S, _TRAVEL_S)

    async def read(self) -> Any:
        """The next message, None after the last.

        Raises `LimitExceeded` for one that is too large, `InputError` for one that is none of the interface.
        """
        try:
            message = await self._next()
        except DecodeError:
            raise InputError("the message is none of this interface", stage="upload") from None
        if message is grpc.aio.EOF:
            return None
        if message.ByteSize() > self.message_bytes:
            text = f"the message is larger than {self.message_bytes} bytes ({MESSAGE_SETTING})"
            raise LimitExceeded(text, setting=MESSAGE_SETTING, limit=self.message_bytes, stage="upload")
        return message

    async def throw_away(self) -> None:
        """Take what is on its way, before the status: some clients lose that of a call that ends while they write.

        It ends where the client closes its side or is quiet for a moment, and else after a while, just after a message,
        when a client with a steady pace is between two of them.
        """
        ends = now() + _LINGER_S
        with suppress(TimeoutError):
            while now() < ends:
                async with asyncio.timeout(_QUIET_S):
                    with suppress(DecodeError):
                        if await self._next() is grpc.aio.EOF:
                            return

    async def _next(self) -> Any:
        # Who waits for a message may be cancelled, but not the reading of it: there is no other way to read on.
        if self._reading is None:
            self._reading = asyncio.ensure_future(self.context.read())
        await asyncio.wait({self._reading})
        reading, self._reading = self._reading, None
        return reading.result()

    def end(self) -> None:
        """Nothing is read any more."""
        if self._reading is not None:
            self._reading.add_done_callback(lambda reading: reading.cancelled() or reading.exception())
            self._reading.cancel()

    async def write(self, message: Any, longest_s: float) -> None:
        """Send one message. Raises `DeadlineExceeded` where the client does not read for `longest_s` seconds."""
        try:
            async with asyncio.timeout(longest_s):
                await self.context.write(message)
        except TimeoutError:
            text = f"the client did not read its answers for {longest_s:g} s"
            raise DeadlineExceeded(text, stage="answer") from None


@asynccontextmanager
async def answered(
    context: Any, method: str, telemetry: Telemetry, message_bytes: int, *, streamed: bool, taken_s: float
) -> AsyncIterator[Call]:
    """Serve one call of `method`: whatever is raised inside becomes its status. `streamed`: it reads its messages.

    What was written last, and the status behind it, may wait for `taken_s` seconds for the client to take it.
    """
    arrived = now()
    metadata = context.invocation_metadata() or ()
    offered = dict(metadata).get(REQUEST_ID_KEY, "")
    request_id = accepted_or_new(offered if isinstance(offered, str) else "")
    token = REQUEST_ID.set(request_id)
    # Who asks was decided before the method was called, where the address is not known.
    known = CALLER.set(replace(CALLER.get(), address=peer(context.peer())))
    status: str | None = None
    call = Call(context, request_id, arrived, message_bytes)
    try:
        with entered(_begun(method, metadata, request_id, telemetry)):
            try:
                await context.send_initial_metadata(((REQUEST_ID_KEY, request_id),))
                try:
                    yield call
                    status = "OK"
                except Exception as error:  # noqa: BLE001 - whatever it was, the client gets a status
                    status = _noted(error, telemetry)
                    if streamed:
                        await call.throw_away()
                    # Before the client knows: who asks for the metrics then finds the call in them.
                    _record(method, status, arrived, telemetry)
                    await _abort(context, error, request_id)
            except asyncio.CancelledError:
                telemetry.count_cancelled(method.lower())
                raise
            finally:
                call.end()
                give_up(taken_s)
                if status in {None, "OK"}:
                    _record(method, status or "CANCELLED", arrived, telemetry)
    finally:
        CALLER.reset(known)
        REQUEST_ID.reset(token)


def _begun(method: str, metadata: Any, request_id: str, telemetry: Telemetry) -> Span:
    offered = [value for name, value in metadata if name == _TRACEPARENT_KEY and isinstance(value, str)]
    called = {"rpc.system.name": "grpc", "rpc.method": f"{SERVICE}/{method}", "glimpse.request_id": request_id}
    return telemetry.tracer.request(f"{SERVICE}/{method}", offered[0] if len(offered) == 1 else "", called)


def _record(method: str, status: str, arrived: float, telemetry: Telemetry) -> None:
    seconds = now() - arrived
    telemetry.observe_request(f"/{SERVICE}/{method}", status, seconds)
    current().set({"rpc.response.status_code": status})
    extra = {"method": "GRPC", "route": f"/{SERVICE}/{method}", "status": status, "caller": CALLER.get().label}
    _log.info("request", extra={**extra, "duration_ms": round(seconds * 1000, 1)})


def _noted(error: Exception, telemetry: Telemetry) -> str:
    """The name of the status of an error that is about to be answered, after it was counted or logged."""
    if not isinstance(error, GlimpseError):
        _log.error("unforeseen error", exc_info=error)
        current().fail(GlimpseError.code)
        return status_of(GlimpseError).grpc
    status = status_of(error)
    if status.http < 500:
        current().set({ERROR_TYPE: error.code})
        telemetry.count_rejected(error.code)
    else:
        current().fail(error.code)
        _log.warning("request failed", extra={"code": error.code, "stage": error.stage, "reason": error.message})
    return status.grpc


async def _abort(context: Any, error: Exception, request_id: str) -> None:
    """End the call with the status of `error`, and what a client may act on as trailing metadata."""
    known = error if isinstance(error, GlimpseError) else GlimpseError("")
    status = status_of(known)
    message = status.advice if status.private else known.message
    facts = tuple(trailing(known, request_id=request_id).items())
    # A client that reads nothing does not take its status either, which must not keep the call.
    try:
        async with asyncio.timeout(_STATUS_S):
            await context.abort(grpc.StatusCode[status.grpc], message, facts)
    except TimeoutError:
        give_up()


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
        for name in ("option", "setting", "limit", "scope"):
            value = str(error.details.get(name, ""))
            if value and value.isascii() and value.isprintable() and len(value) <= _FACT_CHARACTERS:
                facts[f"glimpse-{name}"] = value
    return facts
