"""The metrics of certificates, which are there where there is one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class CertificateMetrics:
    """Implements `server.tls.watch.CertificateTelemetry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._expiry = Gauge(
            "glimpse_certificate_expiry_timestamp_seconds",
            "When the certificate in use ends to be valid, in seconds since 1970.",
            registry=registry,
        )
        self._reloads = Counter(
            "glimpse_certificate_reloads", "Times that changed files were looked at.", ("outcome",), registry=registry
        )
        for outcome in ("loaded", "failed"):
            self._reloads.labels(outcome)

    def set_certificate_expiry(self, timestamp_s: float) -> None:
        """When the certificate in use ends to be valid."""
        self._expiry.set(timestamp_s)

    def count_certificate_reload(self, outcome: str) -> None:
        """Changed files were `loaded`, or `failed` and the certificate in use stays."""
        self._reloads.labels(outcome).inc()
