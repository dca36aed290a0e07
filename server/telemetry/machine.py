"""The metrics of what the service runs on: the backend of its models, and its worker processes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.predict.breaker import CircuitState
from server.spans import current
from server.telemetry.memory import ProcessMemory

_INFERENCE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 15, 60)
_WAIT_S = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_LOOP_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_RESTARTS = ("crash", "memory", "cpu", "sandbox", "deadline", "cancelled")
_CIRCUITS: Mapping[CircuitState, int] = MappingProxyType({"closed": 0, "trying": 1, "open": 2})


def exemplar() -> dict[str, str] | None:
    """What leads from an observation to the trace of the request it was made for; None where that is not traced."""
    span = current()
    return {"trace_id": span.trace_id, "span_id": span.span_id} if span.trace_id else None


class MachineMetrics:
    """The part of `server.telemetry.metrics.Metrics` that is told of backends and workers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = r = registry
        self._waiting = Gauge(
            "glimpse_queue_depth",
            "Requests that wait for admission, or clips that wait for a worker.",
            ("kind",),
            registry=r,
        )
        self._queue_limit = Gauge(
            "glimpse_queue_limit", "How many may wait, by what they wait for.", ("kind",), registry=r
        )
        self._wait_seconds = Histogram(
            "glimpse_wait_seconds",
            "Time from the end of an upload to admission (request), and from there to a worker (worker).",
            ("kind",),
            buckets=_WAIT_S,
            registry=r,
        )
        self._loop_lag = Histogram(
            "glimpse_loop_lag_seconds",
            "How much later than it should a timer of the event loop went off, four times a second.",
            buckets=_LOOP_S,
            registry=r,
        )
        self._streams_limit = Gauge(
            "glimpse_live_streams_limit", "How many live streams may be open at a time.", registry=r
        )
        self._inference_seconds = Histogram(
            "glimpse_inference_seconds",
            "Time of one call of the backend.",
            ("model", "backend"),
            buckets=_INFERENCE_S,
            registry=r,
        )
        self._inference_errors = Counter(
            "glimpse_inference_errors",
            "Calls of the backend that failed, by error code.",
            ("model", "code"),
            registry=r,
        )
        self._backend_up = Gauge(
            "glimpse_backend_up", "1 when the backend answered the last readiness check.", registry=r
        )
        self._breakers = Gauge(
            "glimpse_breaker_state",
            "Whether calls go to Triton, by model and for the connection: 0 yes, 1 one tries, 2 no.",
            ("target",),
            registry=r,
        )
        self._retries = Counter(
            "glimpse_backend_retries",
            "Calls that found no Triton: made again (sent), or not since the budget was spent (withheld).",
            ("outcome",),
            registry=r,
        )
        self._replicas = Gauge(
            "glimpse_triton_replicas",
            "Tritons that the address stands for: those that answer, and those of which the last call found none.",
            ("state",),
            registry=r,
        )
        self._fallbacks = Counter(
            "glimpse_fallbacks",
            "Answers of the local copy of a model in place of Triton, by reason.",
            ("model", "reason"),
            registry=r,
        )
        self._workers = Gauge("glimpse_workers", "Worker processes by state.", ("state",), registry=r)
        self._restarts = Counter("glimpse_worker_restarts", "Workers replaced, by reason.", ("reason",), registry=r)
        # Prometheus does not see the first of a series that was not there before, so what is known is there at nought.
        for reason in _RESTARTS:
            self._restarts.labels(reason)
        for outcome in ("sent", "withheld"):
            self._retries.labels(outcome)
        self._memory = ProcessMemory()
        r.register(self._memory)
        self._sandbox = Gauge(
            "glimpse_sandbox",
            "1 where a layer confines the worker processes, 0 where not.",
            ("layer", "workers"),
            registry=r,
        )

    def observe_inference(self, model: str, backend: str, seconds: float) -> None:
        """One call of the backend was answered."""
        self._inference_seconds.labels(model, backend).observe(seconds, exemplar())

    def count_inference_error(self, model: str, code: str) -> None:
        """One call of the backend failed."""
        self._inference_errors.labels(model, code).inc()

    def set_backend_up(self, up: bool) -> None:  # noqa: FBT001 - the protocol's only flag
        """The last readiness check."""
        self._backend_up.set(up)

    def set_circuit(self, target: str, state: CircuitState) -> None:
        """Whether calls go through to a model, or to the backend at all."""
        self._breakers.labels(target).set(_CIRCUITS[state])

    def count_retry(self, *, sent: bool) -> None:
        """A call that found no server was made again, or its retry was withheld."""
        self._retries.labels("sent" if sent else "withheld").inc()

    def set_replicas(self, *, answering: int, known: int) -> None:
        """Which of the servers behind Triton's address answer."""
        self._replicas.labels("answering").set(answering)
        self._replicas.labels("away").set(known - answering)

    def count_fallback(self, model: str, reason: str) -> None:
        """The local copy of a model answered."""
        self._fallbacks.labels(model, reason).inc()

    def set_workers(self, *, idle: int, busy: int, queued: int) -> None:
        """The state of the worker pool changed."""
        self._workers.labels("idle").set(idle)
        self._workers.labels("busy").set(busy)
        self._waiting.labels("worker").set(queued)

    def track_worker(self, workers: str, pid: int, *, runs: bool) -> None:
        """A process of the `workers` of clips or of live streams is ready, or has ended."""
        self._memory.track(workers, pid, runs=runs)

    def observe_wait(self, kind: str, seconds: float) -> None:
        """A request has got what it waited for: its turn (`request`), or a worker (`worker`)."""
        self._wait_seconds.labels(kind).observe(seconds)

    def observe_loop_lag(self, seconds: float) -> None:
        """A timer of the event loop went off that much later than it should."""
        self._loop_lag.observe(seconds)

    def set_limits(self, *, queued: int, inflight: int, streams: int, worker_bytes: int) -> None:
        """The bounds that the settings give: requests that wait, clips that wait for a worker, live streams, and the
        address space of a worker.
        """
        self._queue_limit.labels("request").set(queued)
        self._queue_limit.labels("worker").set(inflight)
        self._streams_limit.set(streams)
        self._memory.limit_bytes = worker_bytes

    def count_worker_restart(self, reason: str) -> None:
        """A worker was replaced."""
        self._restarts.labels(reason).inc()

    def set_sandbox(self, workers: str, layers: Mapping[str, bool]) -> None:
        """What confines the worker processes is known."""
        for layer, applied in layers.items():
            self._sandbox.labels(layer, workers).set(applied)
