"""Every metric of the service, with a registry of its own for each application."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from server import __version__
from server.access.caller import CALLER
from server.pipeline.base import LiveFrameOutcome, ShadowOutcome
from server.spans import UNTRACED, Tracer
from server.telemetry.inputs import InputMetrics
from server.telemetry.machine import MachineMetrics, exemplar
from server.types import Event, Grade, Report

_REQUEST_S = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_UPLOAD_BYTES = tuple(2.0**power for power in range(16, 30, 2))
_STAGE_S = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LAG_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 10)
_SHARE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_DISTANCE = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
_FACES = (0, 1, 2, 3, 4, 8, 16, 32)
_MOST_CALLERS = 256
_LEFT = frozenset({"499", "CANCELLED"})
_FAILED = frozenset({"INTERNAL", "UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED", "1011", "4408"})
_ANSWERED = frozenset({"OK", "1000"})
_LOST = ("queue", "export", "end")


def outcome_of(status: int | str) -> str:
    """What became of a request, by its status of HTTP, its close code of WebSocket, or the name of gRPC's."""
    text = str(status)
    if text in _ANSWERED or text[:1] in {"2", "3"}:
        return "answered"
    if text in _LEFT:
        return "left"
    return "failed" if text in _FAILED or (text[:1] == "5" and len(text) == 3) else "refused"


def _wants_openmetrics(accept: str) -> bool:
    """Whether a header names OpenMetrics 1.0, or no version of it, with any quality but 0."""
    for offer in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in offer.split(";"))
        given = dict(part.replace(" ", "").partition("=")[::2] for part in parameters)
        if kind == "application/openmetrics-text" and given.get("version", "1.0.0") == "1.0.0":
            return given.get("q", "1").rstrip("0.") != ""
    return False


class _WithoutCreationTimes:
    """A registry without the `_created` series, which would double the number of series for nobody."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class Metrics(MachineMetrics):
    """Implements `server.pipeline.base.Observer` and `server.api.gateway.Telemetry`."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry())
        ProcessCollector(registry=self.registry)
        self._make_request_metrics()
        self._make_answer_metrics()
        self._inputs = InputMetrics(self.registry)
        self._make_build_info()
        self._make_shadow_metrics()
        self._make_live_metrics()
        self._make_access_metrics()
        self._lost_spans = Counter(
            "glimpse_trace_spans_dropped",
            "Spans that were not delivered: the queue was full, an export failed, or the service ended.",
            ("reason",),
            registry=self.registry,
        )
        self._tracer: Tracer = UNTRACED

    @property
    def tracer(self) -> Tracer:
        """Begins the span of each request."""
        return self._tracer

    def trace_with(self, tracer: Tracer) -> None:
        """From now on, spans go there."""
        self._tracer = tracer
        if tracer is not UNTRACED:
            for reason in _LOST:
                self._lost_spans.labels(reason)

    def count_lost_spans(self, reason: str, spans: int) -> None:
        """So many spans were not delivered; `reason` is `queue`, `export` or `end`. For any thread."""
        self._lost_spans.labels(reason).inc(spans)

    def _make_request_metrics(self) -> None:
        r = self.registry
        self._requests = Counter("glimpse_requests", "Requests answered.", ("route", "status"), registry=r)
        self._upload_bytes = Histogram(
            "glimpse_upload_bytes", "Size of a complete upload.", ("kind",), buckets=_UPLOAD_BYTES, registry=r
        )
        self._request_seconds = Histogram(
            "glimpse_request_seconds",
            "Time from a request to the end of its answer.",
            ("route",),
            buckets=_REQUEST_S,
            registry=r,
        )
        self._inflight = Gauge(
            "glimpse_inflight", "Requests that are worked on, and uploads in progress.", ("kind",), registry=r
        )
        self._rejected = Counter("glimpse_rejected", "Requests refused, by problem code.", ("reason",), registry=r)
        self._cancelled = Counter(
            "glimpse_cancelled", "Requests whose client left before the answer.", ("kind",), registry=r
        )

    def _make_answer_metrics(self) -> None:
        r = self.registry
        self._stage_seconds = Histogram(
            "glimpse_stage_seconds", "Time that one clip spent in a stage.", ("stage",), buckets=_STAGE_S, registry=r
        )
        self._events = Counter("glimpse_events", "Events reported.", ("model", "label", "kind"), registry=r)
        self._abstained = Counter("glimpse_abstained", "Events whose label was withheld.", ("model",), registry=r)
        self._confidence = Histogram(
            "glimpse_confidence", "Confidence of reported events, 0 to 1.", ("model",), buckets=_SHARE, registry=r
        )
        self._faces = Histogram("glimpse_faces_per_clip", "Faces followed in one clip.", buckets=_FACES, registry=r)
        self._evidence = Counter("glimpse_evidence", "Events by the grade of their evidence.", ("grade",), registry=r)
        for grade in get_args(Grade):
            self._evidence.labels(grade)

    def _make_build_info(self) -> None:
        r = self.registry
        build = Gauge("glimpse_build_info", "Always 1; the labels say what runs.", ("version", "python"), registry=r)
        build.labels(__version__, platform.python_version()).set(1)

    def _make_shadow_metrics(self) -> None:
        r, models = self.registry, ("model", "shadow")
        self._shadow_events = Counter(
            "glimpse_shadow_events",
            "Events that a shadow model should have answered too, by outcome.",
            (*models, "outcome"),
            registry=r,
        )
        self._shadow_distance = Histogram(
            "glimpse_shadow_distance",
            "Total variation distance between the answer and that of the shadow model, 0 to 1.",
            models,
            buckets=_DISTANCE,
            registry=r,
        )
        self._shadow_up = Gauge(
            "glimpse_shadow_up", "1 when the shadow model can be asked, 0 when not.", ("shadow",), registry=r
        )

    def _make_live_metrics(self) -> None:
        r = self.registry
        self._live_streams = Gauge("glimpse_live_streams", "Live streams that are open.", registry=r)
        self._live_frames = Counter(
            "glimpse_live_frames", "Frames of live streams, by what became of them.", ("outcome",), registry=r
        )
        for outcome in get_args(LiveFrameOutcome):
            self._live_frames.labels(outcome)
        self._live_lag = Histogram(
            "glimpse_live_lag_seconds",
            "Time from the arrival of a frame of a live stream to its answer.",
            buckets=_LAG_S,
            registry=r,
        )

    def _make_access_metrics(self) -> None:
        r = self.registry
        self._by_caller = Counter(
            "glimpse_requests_by_caller",
            "Requests by the name of the key, and what became of them; jwt: all tokens, anonymous: nobody known.",
            ("caller", "outcome"),
            registry=r,
        )
        self._reloads = Counter(
            "glimpse_reloads", "Times that keys and the like were read anew.", ("what", "outcome"), registry=r
        )
        self._reload_successful = Gauge(
            "glimpse_reload_successful",
            "1 when what was read anew last could be used, 0 when the one before it serves on.",
            ("what",),
            registry=r,
        )
        self._callers: set[str] = set()

    def gauges(self) -> dict[str, Any]:
        """The present value of every gauge, by name; where it has labels, by the values of these."""
        told: dict[str, Any] = {}
        for family in self.registry.collect():
            if family.type == "gauge":
                values = {",".join(sample.labels.values()): sample.value for sample in family.samples}
                told[family.name] = values[""] if list(values) == [""] else values
        return told

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics as text, and its content type: OpenMetrics 1.0, which has exemplars, where the header `accept`
        names it, else the text format of Prometheus.
        """
        if _wants_openmetrics(accept):
            # The version is fixed here: the library would take the text of the header for it.
            body: bytes = openmetrics.generate_latest(_WithoutCreationTimes(self.registry))  # type: ignore[no-untyped-call]
            return body, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(_WithoutCreationTimes(self.registry)), CONTENT_TYPE_PLAIN_0_0_4

    def observe_request(self, route: str, status: int | str, seconds: float) -> None:
        """A request was answered. `route` is a template, so that the label is bounded."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds, exemplar())
        self._by_caller.labels(self._bounded(CALLER.get().label), outcome_of(status)).inc()

    def _bounded(self, caller: str) -> str:
        """Names of keys come and go while the service runs; the label set must not grow with them."""
        if caller not in self._callers and len(self._callers) >= _MOST_CALLERS:
            return "other"
        self._callers.add(caller)
        return caller

    def count_reload(self, what: str, worked: bool) -> None:  # noqa: FBT001 - the protocol's only flag
        """Something was read anew, or could not be."""
        self._reloads.labels(what, "success" if worked else "failure").inc()
        self._reload_successful.labels(what).set(worked)

    def track_inflight(self, kind: str, change: int) -> None:
        """A request of a kind began or ended."""
        self._inflight.labels(kind).inc(change)

    def track_queued(self, change: int) -> None:
        """A request began or ceased to wait."""
        self._waiting.labels("request").inc(change)

    def observe_upload(self, kind: str, size_bytes: int) -> None:
        """The body of a request of a kind has come to its end."""
        self._upload_bytes.labels(kind).observe(size_bytes)

    def count_rejected(self, reason: str) -> None:
        """A request was refused; `reason` is a problem code."""
        self._rejected.labels(reason).inc()

    def count_cancelled(self, kind: str) -> None:
        """A client left during an upload or an analysis."""
        self._cancelled.labels(kind).inc()

    def observe_stage(self, stage: str, seconds: float) -> None:
        """One clip spent `seconds` in `stage`."""
        self._stage_seconds.labels(stage).observe(seconds, exemplar())

    def observe_report(self, report: Report) -> None:
        """One clip was answered."""
        self._faces.observe(len(report.faces))
        self._inputs.observe(report)
        for event in report.events:
            self.observe_event(report.model.name, event)

    def observe_event(self, model: str, event: Event) -> None:
        """One event of a clip or of a live stream was told."""
        self._events.labels(model, event.label, event.kind).inc()
        self._confidence.labels(model).observe(event.confidence)
        self._evidence.labels(event.evidence.grade).inc()
        # Also where it is none: a counter that begins with the first one hides that from Prometheus.
        self._abstained.labels(model).inc(event.abstained)

    def track_live_streams(self, change: int) -> None:
        """A live stream was opened or has ended."""
        self._live_streams.inc(change)

    def count_live_frame(self, outcome: LiveFrameOutcome) -> None:
        """A frame of a live stream was answered."""
        self._live_frames.labels(outcome).inc()

    def observe_live_lag(self, seconds: float) -> None:
        """How long a frame of a live stream waited for its answer."""
        self._live_lag.observe(seconds)

    def count_shadow_events(self, model: str, shadow: str, outcome: ShadowOutcome, events: int) -> None:
        """What became of events that a shadow model should have seen."""
        self._shadow_events.labels(model, shadow, outcome).inc(events)

    def observe_shadow_distance(self, model: str, shadow: str, distance: float) -> None:
        """How far two answers to one event lie apart."""
        self._shadow_distance.labels(model, shadow).observe(distance)

    def set_shadow_up(self, shadow: str, up: bool) -> None:  # noqa: FBT001 - the protocol's only flag
        """The last look at the shadow model."""
        self._shadow_up.labels(shadow).set(up)
