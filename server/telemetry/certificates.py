"""The metric of the certificate, which is there where there is one."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge


class CertificateMetrics:
    """Implements `server.tls.watch.CertificateTelemetry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._expiry = Gauge(
            "glimpse_certificate_expiry_timestamp_seconds",
            "When the certificate in use ends to be valid, in seconds since 1970.",
            registry=registry,
        )

    def set_certificate_expiry(self, timestamp_s: float) -> None:
        """When the certificate in use ends to be valid."""
        self._expiry.set(timestamp_s)
