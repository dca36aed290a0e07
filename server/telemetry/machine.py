"""The metrics of what the service runs on: the backend of its models, and its worker processes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.predict.breaker import CircuitState

_INFERENCE_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 15, 60)
_CIRCUITS: Mapping[CircuitState, int] = MappingProxyType({"closed": 0, "trying": 1, "open": 2})


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
        self._sandbox = Gauge(
            "glimpse_sandbox",
            "1 where a layer confines the worker processes, 0 where not.",
            ("layer", "workers"),
            registry=r,
        )

    def observe_inference(self, model: str, backend: str, seconds: float) -> None:
        """One call of the backend was answered."""
        self._inference_seconds.labels(model, backend).observe(seconds)

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

    def count_worker_restart(self, reason: str) -> None:
        """A worker was replaced."""
        self._restarts.labels(reason).inc()

    def set_sandbox(self, workers: str, layers: Mapping[str, bool]) -> None:
        """What confines the worker processes is known."""
        for layer, applied in layers.items():
            self._sandbox.labels(layer, workers).set(applied)
