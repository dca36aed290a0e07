"""Delivery of spans by OTLP over gRPC, in a thread of its own behind a bounded queue: an endpoint that is slow or gone
costs spans, which are counted, and no request anything.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from server import __version__

_BATCH_SPANS = 512
_DELAY_MS = 500.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where spans go, and what bounds them; each field is named in the settings group of the same meaning. `address` is
    host:port; `credentials` encrypt the way there.
    """

    address: str
    credentials: grpc.ChannelCredentials | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 10.0
    flush_s: float = 3.0
    queue_spans: int = 4096


class Delivery(SpanProcessor):
    """The library's batches behind a gate that lets in no more than its queue holds, so that losses are counted."""

    def __init__(self, destination: Destination, told: Callable[[str, int], None]) -> None:
        self._told = told
        self._most = destination.queue_spans
        self._lock = threading.Lock()
        self._waiting = 0
        self._exporter = _Exporter(destination, self._taken, lambda spans: told("export", spans))
        self._batches = BatchSpanProcessor(
            self._exporter,
            max_queue_size=self._most,
            schedule_delay_millis=_DELAY_MS,
            max_export_batch_size=min(_BATCH_SPANS, self._most),
            export_timeout_millis=destination.timeout_s * 1000,
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Take it, where there is room."""
        with self._lock:
            full = self._waiting >= self._most
            self._waiting += not full
        if full:
            self._told("queue", 1)
        else:
            self._batches.on_end(span)

    def end(self, flush_s: float) -> None:
        """Blocks for `flush_s` seconds at most, and a moment."""
        ending = threading.Thread(target=self._batches.shutdown, name="glimpse-trace-end", daemon=True)
        ending.start()
        ending.join(flush_s)
        # Ends the retries of an export that is under way; the thread ends by itself, or with the process.
        self._exporter.give_up()
        with self._lock:
            lost, self._waiting = self._waiting, 0
        if lost:
            self._told("end", lost)

    def _taken(self, spans: int) -> None:
        with self._lock:
            self._waiting -= min(spans, self._waiting)


class _Exporter(SpanExporter):
    """OTLP over gRPC; tells the log when it begins to fail and when it works again, not each time."""

    def __init__(self, destination: Destination, taken: Callable[[int], None], lost: Callable[[int], None]) -> None:
        self._taken = taken
        self._lost = lost
        self._failing = False
        self._given_up = False
        self._ending, self._ended = threading.Lock(), False
        self._inner = OTLPSpanExporter(
            endpoint=destination.address,
            insecure=destination.credentials is None,
            credentials=destination.credentials,
            # Never empty: for want of headers the library would take those of a variable.
            headers={"x-glimpse-version": __version__, **destination.headers},
            timeout=destination.timeout_s,
            compression=grpc.Compression.NoCompression,
            # A proxy for the outside world does not know the way to a collector in the cluster.
            channel_options=(("grpc.enable_http_proxy", 0),),  # type: ignore[arg-type]  # it says str, gRPC takes both
        )

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._given_up:
            return SpanExportResult.FAILURE
        self._taken(len(spans))
        result = self._inner.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed:
            self._lost(len(spans))
        if failed != self._failing and not self._given_up:
            self._failing = failed
            _log.warning("traces cannot be delivered" if failed else "traces are delivered again")
        return result

    def give_up(self) -> None:
        """No more retries, and no more exports."""
        self._given_up = True
        self.shutdown()

    def shutdown(self) -> None:
        with self._ending:
            if not self._ended:
                self._ended = True
                self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True
