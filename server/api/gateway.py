"""One request from its admission to its answer, whichever protocol brought it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

from server.access.guard import Guard
from server.api.facts import ServerFacts
from server.api.limits import Admission, Gauges, Limits, Ticket
from server.api.reports import read_report
from server.errors import DeadlineExceeded, GlimpseError
from server.pipeline.base import Analyzer, LiveAnalyzer, OnProgress, abstains_below
from server.spans import Tracer
from server.types import AnalyzeOptions, Classification, Encoded, ModelRef, Report

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
class Drawn:
    """A form of a report that can show below which confidence its model abstains; `draw` takes that, or None."""

    draw: Callable[[Report, float | None], bytes]

    def __call__(self, report: Report) -> bytes:
        """The form, of a report whose model is not at hand."""
        return self.draw(report, None)


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

    def draws(self, media_type: str) -> bool:
        """Whether an answer of that type shows more than events, where a report has more."""
        return isinstance(self.renderers.get(media_type), Drawn)

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

    async def annotate(
        self,
        ticket: Ticket,
        clip: Encoded,
        options: AnalyzeOptions,
        *,
        slow: float,
        request_id: str,
        deadline: float,
    ) -> tuple[Report, bytes]:
        """`Analyzer.analyze`, then `Analyzer.annotate`, in one turn."""
        async with _bounded(ticket, deadline):
            report = await self.analyzer.analyze(clip, options, request_id=request_id, deadline=deadline)
            return report, await self.analyzer.annotate(clip, report, slow, deadline=deadline)

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
        """A report in one of the media types of `renderers`.

        Raises `DeadlineExceeded` (stage `rendering`) and `InputError` for pictures in it that do not fit.
        """
        renderer = self.renderers[media_type]
        if isinstance(renderer, Drawn):
            return await self.beside(partial(renderer.draw, report, await self._threshold(report.model)), deadline)
        return await self.beside(partial(renderer, report), deadline)

    async def redraw(self, ticket: Ticket, body: bytearray, media_type: str, deadline: float) -> bytes:
        """A report that is sent as JSON, in one of the media types of `renderers`, in its turn.

        Raises `InputError` for what is no report, `DeadlineExceeded` (stage `rendering`).
        """
        async with _bounded(ticket, deadline):
            report = await self.beside(partial(read_report, body), deadline)
            return await self.render(report, media_type, deadline)

    async def beside(self, work: Callable[[], T], deadline: float) -> T:
        """The result of `work`, which takes a while: off the event loop, one at a time.

        Raises `DeadlineExceeded` (stage `rendering`); what was begun ends before the next one begins.
        """
        try:
            async with asyncio.timeout_at(deadline):
                await self.rendering.acquire()
                task = asyncio.ensure_future(asyncio.to_thread(work))
                task.add_done_callback(lambda _: self.rendering.release())
                return await asyncio.shield(task)
        except TimeoutError:
            raise DeadlineExceeded("the report was not drawn in time", stage="rendering") from None

    async def _threshold(self, model: ModelRef) -> float | None:
        """The confidence below which the model of a report abstains; None where just that version is not here."""
        try:
            info = await self.analyzer.model(model.name)
        except GlimpseError:
            return None
        return abstains_below(info, model.version)


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
