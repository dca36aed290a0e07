"""A collector of traces: OTLP over gRPC on a real socket, which keeps what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Seen:
    """One span, with what tests look at."""

    span: Span
    resource: dict[str, Any]

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def trace(self) -> str:
        return self.span.trace_id.hex()

    @property
    def id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def attributes(self) -> dict[str, Any]:
        return _values(self.span.attributes)

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        return [(event.name, _values(event.attributes)) for event in self.span.events]

    @property
    def links(self) -> list[tuple[str, str]]:
        return [(link.trace_id.hex(), link.span_id.hex()) for link in self.span.links]


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@dataclass
class Sink(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps spans, the bytes of exports and their metadata; while `held` it does not answer."""

    address: str = ""
    spans: list[Seen] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    held: threading.Event | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def Export(self, request: Any, context: Any) -> Any:
        self.arrived.set()
        if self.held is not None:
            self.held.wait(PATIENCE_S)
        with self._changed:
            self.received.append(request.SerializeToString())
            self.metadata.append(dict(context.invocation_metadata()))
            for told in request.resource_spans:
                resource = _values(told.resource.attributes)
                self.spans += [Seen(span, resource) for scope in told.scope_spans for span in scope.spans]
            self._changed.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def first(self, wanted: Callable[[Seen], bool]) -> Seen:
        """The first span of that kind, which may still be on its way."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(map(wanted, self.spans)), PATIENCE_S), self.names
            return next(filter(wanted, self.spans))

    def request(self, request_id: str) -> Seen:
        """The span of a request. It ends last, so that the rest of its trace is there."""
        return self.first(
            lambda x: x.span.kind == Span.SPAN_KIND_SERVER and x.attributes["glimpse.request_id"] == request_id
        )

    def trace(self, trace: str) -> list[Seen]:
        """What has come of a trace."""
        return [seen for seen in self.spans if seen.trace == trace]

    @property
    def names(self) -> list[str]:
        return [seen.name for seen in self.spans]


def tree(spans: list[Seen], parent: str = "") -> dict[str, Any]:
    """Names of spans below a parent, in the order of their beginning."""
    below = sorted((x for x in spans if x.parent == parent), key=lambda x: x.span.start_time_unix_nano)
    return {x.name: tree(spans, x.id) for x in below}


def misplaced(spans: list[Seen]) -> list[str]:
    """Those that are not within the time of their parent."""
    known = {x.id: x.span for x in spans}
    return [
        x.name
        for x in spans
        if x.parent in known
        and not (
            known[x.parent].start_time_unix_nano
            <= x.span.start_time_unix_nano
            <= x.span.end_time_unix_nano
            <= known[x.parent].end_time_unix_nano
        )
    ]


@contextmanager
def sinking(credentials: grpc.ServerCredentials | None = None) -> Iterator[Sink]:
    """A collector that listens, encrypted where it has credentials."""
    sink = Sink()
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(sink, server)
    place = "127.0.0.1:0"
    port = server.add_secure_port(place, credentials) if credentials else server.add_insecure_port(place)
    sink.address = f"127.0.0.1:{port}"
    server.start()
    try:
        yield sink
    finally:
        if sink.held is not None:
            sink.held.set()
        server.stop(0).wait()
