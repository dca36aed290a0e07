"""Spans by OpenTelemetry, which this module and `server.telemetry.otlp` alone know; both are imported where traces are
switched on.

Of the variables that the library would read, only those that name the service and the one that switches it off reach
it: everything else is given to it explicitly (docs/tracing.md).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import Tracer as OtelTracer

from server import __version__
from server.spans import ATTRIBUTES, ERROR_TYPE, NO_SPAN, NOTHING, Kind, Span, Value
from server.telemetry.context import REQUEST_ID
from server.telemetry.otlp import Delivery, Destination

_LONGEST_VALUE = 128
_MOST_EVENTS = 64
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_KINDS: Mapping[Kind, SpanKind] = MappingProxyType(
    {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}
)


class OtlpTracer:
    """Implements `server.spans.Tracer`. `told` hears how many spans were lost, by reason (`queue`, `export`, `end`).

    `share` of the requests are traced, 0..1. `caller` says what becomes of a caller's trace context: nothing, a link,
    or its trace and its decision go on here. `resource` are attributes of the service.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        share: float = 1.0,
        caller: Literal["ignore", "link", "continue"] = "link",
        service_name: str = "",
        resource: Mapping[str, str] = MappingProxyType({}),
        told: Callable[[str, int], None] = lambda *_: None,
    ) -> None:
        self._caller = caller
        self._flush_s = destination.flush_s
        self._delivery = Delivery(destination, told)
        self._provider = TracerProvider(
            sampler=_Sampler(share),
            resource=_resource(service_name, resource),
            shutdown_on_exit=False,
            span_limits=SpanLimits(
                max_attributes=len(ATTRIBUTES),
                max_span_attributes=len(ATTRIBUTES),
                max_event_attributes=len(ATTRIBUTES),
                max_link_attributes=1,
                max_events=_MOST_EVENTS,
                max_links=1,
                max_attribute_length=_LONGEST_VALUE,
                max_span_attribute_length=_LONGEST_VALUE,
            ),
        )
        self._provider.add_span_processor(self._delivery)
        self._tracer = self._provider.get_tracer("glimpse", __version__)

    def request(self, name: str, traceparent: str, attributes: Mapping[str, Value]) -> Span:
        """The span of a request that has just come; `NO_SPAN` where it is not to be traced."""
        theirs = _parsed(traceparent) if self._caller != "ignore" else None
        clock = _Clock()
        follows = theirs is not None and self._caller == "continue"
        begun = self._tracer.start_span(
            name,
            _within(theirs) if follows and theirs is not None else Context(),
            SpanKind.SERVER,
            _kept(attributes),
            [Link(theirs)] if theirs is not None and not follows else (),
            start_time=clock.wall_ns(),
        )
        return _span(self._tracer, begun, clock)

    async def close(self) -> None:
        """Deliver what waits, within `flush_s` seconds; what is left then is lost, and counted."""
        await asyncio.to_thread(self._delivery.end, self._flush_s)


class _Clock:
    """Wall time in ns of `time.monotonic()` values, fixed for one request: a step of the clock of the machine must not
    put a child outside its parent.
    """

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def wall_ns(self, moment: float | None = None) -> int:
        return self._offset_ns + (time.monotonic_ns() if moment is None else round(moment * 1e9))


class _Recorded:
    """Implements `server.spans.Span`."""

    def __init__(self, tracer: OtelTracer, span: OtelSpan, clock: _Clock) -> None:
        self._tracer = tracer
        self._span = span
        self._clock = clock
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.span_id = f"{context.span_id:016x}"

    @property
    def carrier(self) -> Mapping[str, str]:
        return {"traceparent": f"00-{self.trace_id}-{self.span_id}-01"}

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, attributes: Mapping[str, Value]) -> None:
        self._span.set_attributes(_kept(attributes))

    def event(self, name: str, attributes: Mapping[str, Value] = NOTHING) -> None:
        self._span.add_event(name, _kept(attributes), self._clock.wall_ns())

    def fail(self, code: str) -> None:
        self._span.set_attribute(ERROR_TYPE, code)
        self._span.set_status(Status(StatusCode.ERROR, code))

    def child(
        self,
        name: str,
        attributes: Mapping[str, Value] = NOTHING,
        *,
        kind: Kind = "internal",
        began: float | None = None,
    ) -> Span:
        inside = set_span_in_context(self._span, Context())
        begun = self._tracer.start_span(
            name, inside, _KINDS[kind], _kept(attributes), start_time=self._clock.wall_ns(began)
        )
        return _span(self._tracer, begun, self._clock)

    def linked(self, name: str, attributes: Mapping[str, Value] = NOTHING, *, began: float | None = None) -> Span:
        clock = _Clock()
        begun = self._tracer.start_span(
            name,
            Context(),
            attributes=_kept({"glimpse.request_id": REQUEST_ID.get(), **attributes}),
            links=[Link(self._span.get_span_context())],
            start_time=clock.wall_ns(began),
        )
        return _span(self._tracer, begun, clock)

    def end(self, ended: float | None = None) -> None:
        if self._span.is_recording():
            self._span.end(self._clock.wall_ns(ended))


def _span(tracer: OtelTracer, begun: OtelSpan, clock: _Clock) -> Span:
    """What is not sampled has no children, and tells nobody of itself: Triton would trace whatever it is told of."""
    return _Recorded(tracer, begun, clock) if begun.is_recording() else NO_SPAN


class _Sampler(Sampler):
    """Follows a parent, and a span of ours that is linked; of the others, it takes a share by their random ids."""

    def __init__(self, share: float) -> None:
        self._share = TraceIdRatioBased(share)

    def should_sample(  # noqa: PLR0917 - the library's
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Mapping[str, object] | None = None,
        links: Sequence[Link] | None = None,
        trace_state: object = None,
    ) -> SamplingResult:
        parent = get_current_span(parent_context).get_span_context()
        ours = [link.context for link in links or () if not link.context.is_remote]
        followed = parent if parent.is_valid else ours[0] if ours else None
        if followed is None:
            taken = self._share.should_sample(None, trace_id, name).decision is Decision.RECORD_AND_SAMPLE
        else:
            taken = followed.trace_flags.sampled
        return SamplingResult(Decision.RECORD_AND_SAMPLE if taken else Decision.DROP, attributes)  # type: ignore[arg-type]

    def get_description(self) -> str:
        return f"share of {self._share.rate}"


def _kept(attributes: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in attributes.items() if name in ATTRIBUTES}


def _parsed(traceparent: str) -> SpanContext | None:
    """The context that a header of version 00 names. Its `tracestate` is free text of strangers, and is not kept."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags & TraceFlags.SAMPLED))
    return context if context.is_valid else None


def _within(parent: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _resource(service_name: str, attributes: Mapping[str, str]) -> Resource:
    """What names the service: settings before the variables of OpenTelemetry, which orchestrators set."""
    named = {"service.name": service_name} if service_name else {}
    told = {"service.name": "glimpse", **OTELResourceDetector().detect().attributes, "service.version": __version__}
    return Resource(
        {"telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "python", **told, **attributes, **named}
    )
