"""One request from its admission to its answer, whichever protocol brought it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from server.access.guard import Guard
from server.api.facts import ServerFacts
from server.api.limits import Admission, Gauges, Limits, Ticket
from server.errors import DeadlineExceeded
from server.pipeline.base import Analyzer, LiveAnalyzer, OnProgress
from server.spans import Tracer
from server.types import AnalyzeOptions, Classification, Encoded, Report

T = TypeVar("T")

# The pipeline keeps its deadlines and names the stage; this net catches a stage that does not return.
_GRACE_S = 2.0


class Telemetry(Gauges, Protocol):
    """What the protocols tell the metrics, and what follows single requests."""

    @property
    def tracer(self) -> Tracer:
        """Begins the span of each request."""
        ...

    def count_rejected(self, reason: str) -> None:
        """A request was refused; `reason` is a problem code."""

    def count_cancelled(self, kind: str) -> None:
        """A client left before its answer; `kind` is what was going on."""

    def observe_request(self, route: str, status: int | str, seconds: float) -> None:
        """A request was answered. `route` is a template or a method; `status` that of HTTP or the name of gRPC's."""

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics as text in a form that a header `Accept` asks for, and its content type."""
        ...


@dataclass(frozen=True)
class Gateway:
    """What every route and method needs. `renderers` turn a report into bytes, by media type."""

    analyzer: Analyzer
    live: LiveAnalyzer
    facts: ServerFacts
    limits: Limits
    admission: Admission
    telemetry: Telemetry
    renderers: Mapping[str, Callable[[Report], bytes]]
    rendering: asyncio.Lock = field(default_factory=asyncio.Lock)
    guard: Guard = field(default_factory=Guard)

    def deadline(self, arrived: float, wanted_s: float | None = None) -> float:
        """`time.monotonic()` value by which a request that arrived at `arrived` must be answered."""
        return arrived + min(self.limits.deadline_s, wanted_s or self.limits.deadline_s)

    async def analyze(
        self,
        ticket: Ticket,
        clip: Encoded,
        options: AnalyzeOptions,
        *,
        request_id: str,
        deadline: float,
        on_progress: OnProgress | None = None,
    ) -> Report:
        """`Analyzer.analyze` in its turn."""
        async with _bounded(ticket, deadline):
            return await self.analyzer.analyze(
                clip, options, request_id=request_id, deadline=deadline, on_progress=on_progress
            )

    async def classify(
        self,
        ticket: Ticket,
        onset: Encoded,
        apex: Encoded,
        options: AnalyzeOptions,
        *,
        request_id: str,
        deadline: float,
    ) -> Classification:
        """`Analyzer.classify` in its turn."""
        async with _bounded(ticket, deadline):
            return await self.analyzer.classify(onset, apex, options, request_id=request_id, deadline=deadline)

    async def render(self, report: Report, media_type: str, deadline: float) -> bytes:
        """A report in one of the media types of `renderers`; one at a time, off the event loop.

        Raises `DeadlineExceeded` (stage `rendering`); what was begun ends before the next one begins.
        """
        try:
            async with asyncio.timeout_at(deadline):
                await self.rendering.acquire()
                work = asyncio.ensure_future(asyncio.to_thread(self.renderers[media_type], report))
                work.add_done_callback(lambda _: self.rendering.release())
                return await asyncio.shield(work)
        except TimeoutError:
            raise DeadlineExceeded("the report was not drawn in time", stage="rendering") from None


@asynccontextmanager
async def _bounded(ticket: Ticket, deadline: float) -> AsyncIterator[None]:
    async with ticket.turn(deadline):
        try:
            async with asyncio.timeout_at(deadline + _GRACE_S) as net:
                yield
        except TimeoutError:
            if not net.expired():
                raise
            raise DeadlineExceeded("the analysis did not end in time", stage="analysis") from None


async def until(left: Callable[[], Awaitable[None]], work: Awaitable[T]) -> T | None:
    """The result of `work`, or None where `left` returned first: then `work` was cancelled and has ended."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(left())
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return None
    finally:
        for pending in (task, watch):
            pending.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


def now() -> float:
    """The clock of deadlines, which is also that of the event loop."""
    return time.monotonic()
