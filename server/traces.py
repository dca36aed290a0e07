"""From settings to what collects the spans of requests; nothing of it is loaded where no endpoint is named."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

from server.errors import ConfigurationError
from server.settings.group import variable
from server.settings.telemetry import TELEMETRY, TelemetrySettings, headers
from server.spans import UNTRACED, Tracer
from server.telemetry.metrics import Metrics

_PORT = 4317


@asynccontextmanager
async def open_tracer(settings: TelemetrySettings, metrics: Metrics) -> AsyncIterator[Tracer]:
    """What collects spans while the block runs, which `metrics` has as `tracer`; spans that wait are delivered at the
    end, within `otlp_flush_seconds`.

    Raises `ConfigurationError` for a file that cannot be used.
    """
    if not settings.otlp_endpoint:
        yield UNTRACED
        return
    from server.telemetry.otlp import Destination
    from server.telemetry.tracing import OtlpTracer

    parts = urlsplit(settings.otlp_endpoint)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    destination = Destination(
        address=f"{host}:{parts.port or _PORT}",
        credentials=_credentials(settings) if parts.scheme == "https" else None,
        headers=_headers(settings),
        timeout_s=settings.otlp_timeout_seconds,
        flush_s=settings.otlp_flush_seconds,
        queue_spans=settings.trace_queue_spans,
    )
    tracer = OtlpTracer(
        destination,
        share=settings.trace_share,
        caller=settings.trace_context,
        service_name=settings.service_name,
        resource=dict(item.split("=", 1) for item in settings.resource_attributes.split(",") if item),
        told=metrics.count_lost_spans,
    )
    metrics.trace_with(tracer)
    try:
        yield tracer
    finally:
        metrics.trace_with(UNTRACED)
        await tracer.close()


def _credentials(settings: TelemetrySettings) -> object:
    import grpc

    ca = settings.otlp_ca
    if not ca:
        return grpc.ssl_channel_credentials()
    authorities = _content("otlp_ca", ca)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca)
    except OSError:
        # The library of gRPC would say only that the endpoint does not answer.
        raise ConfigurationError(f"{variable(TELEMETRY, 'otlp_ca')}: {ca} holds no authorities") from None
    return grpc.ssl_channel_credentials(authorities)


def _headers(settings: TelemetrySettings) -> dict[str, str]:
    if not settings.otlp_headers_file:
        return dict(headers(settings.otlp_headers.get_secret_value()))
    name = variable(TELEMETRY, "otlp_headers_file")
    try:
        text = _content("otlp_headers_file", settings.otlp_headers_file).decode("ascii")
        return dict(headers(text.strip().replace("\n", ",")))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name}: {settings.otlp_headers_file} is not ASCII text") from None
    except PydanticCustomError as error:
        raise ConfigurationError(f"{name}: {settings.otlp_headers_file} {error.message()}") from None


def _content(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        name = variable(TELEMETRY, setting)
        raise ConfigurationError(f"{name}: {path} cannot be read: {error.strerror}") from None
