"""Progress of a long analysis as server-sent events, then its report or its problem."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import asdict

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from server.api.gateway import Telemetry, until
from server.api.progress import Pending
from server.api.rest import problems
from server.api.rest.answers import EVENT_STREAM
from server.documents import report_json
from server.pipeline.base import OnProgress
from server.spans import span
from server.types import Report

KEEP_ALIVE_S = 10.0


class EventStream(Response):
    """Runs `work` while it streams; `holding` is left when the stream ends, however it ends."""

    media_type = EVENT_STREAM

    def __init__(
        self,
        work: Callable[[OnProgress], Awaitable[Report]],
        *,
        holding: AbstractContextManager[object],
        telemetry: Telemetry,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept"})
        del self.headers["content-length"]
        self._work = work
        self._holding = holding
        self._telemetry = telemetry
        self._keep_alive_s = keep_alive_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream until its end or until the client leaves."""

        async def write(event: bytes, *, last: bool = False) -> None:
            await send({"type": "http.response.body", "body": event, "more_body": not last})

        async def left() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        with self._holding:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if await until(left, self._events(write, scope["path"])) is None:
                self._telemetry.count_cancelled("analyze")
                return
        await write(b"", last=True)

    async def _events(self, write: Callable[[bytes], Awaitable[None]], path: str) -> bool:
        """Write all events. Progress that a slow reader has not taken yet is replaced by the newer one of its stage."""
        pending = Pending()
        task = asyncio.ensure_future(self._work(pending))
        task.add_done_callback(lambda _: pending.wake())
        try:
            while not (task.done() and pending.empty):
                if not await _within(self._keep_alive_s, pending):
                    await write(b": keep-alive\n\n")
                while not pending.empty:
                    await write(_event("progress", json.dumps(asdict(pending.take())).encode()))
            await write(self._outcome(task, path))
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return True

    def _outcome(self, task: asyncio.Future[Report], path: str) -> bytes:
        error = task.exception()
        if error is None:
            with span("report", {"glimpse.media_type": EVENT_STREAM}):
                return _event("report", report_json(task.result()))
        if not isinstance(error, Exception):
            raise error
        return _event("problem", problems.encode(problems.noted(error, path, self._telemetry)))


async def _within(seconds: float, pending: Pending) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await pending.changed()
            return True
    except TimeoutError:
        return False


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
