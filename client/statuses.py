"""How calls of gRPC and of HTTP end, as the errors of this package."""

from __future__ import annotations

import json
from collections.abc import Mapping

import grpc
import httpx

from client.errors import (
    AccessRefused,
    ClientError,
    DeadlineExceeded,
    ForeignAnswer,
    Overloaded,
    RequestRefused,
    ServiceError,
    ServiceFailed,
    Unreachable,
)

_BY_GRPC: Mapping[grpc.StatusCode, type[ServiceError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: RequestRefused,
    grpc.StatusCode.NOT_FOUND: RequestRefused,
    grpc.StatusCode.FAILED_PRECONDITION: RequestRefused,
    grpc.StatusCode.OUT_OF_RANGE: RequestRefused,
    grpc.StatusCode.UNAUTHENTICATED: AccessRefused,
    grpc.StatusCode.PERMISSION_DENIED: AccessRefused,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}
# What the transport says by itself when a connection is refused, breaks, or is ended by a service that goes down.
_BROKEN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL}
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_FOREIGN = {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN}


def from_grpc(error: grpc.aio.AioRpcError, target: str) -> ClientError:
    """The error of a call of gRPC."""
    trailing = {name: str(value) for name, value in error.trailing_metadata() or ()}
    status, details = error.code(), error.details() or ""
    code = trailing.get("glimpse-code", "")
    if not code:
        return _of_transport(status, details, target)
    return _BY_GRPC.get(status, ServiceFailed)(
        details,
        code=code,
        retryable=trailing.get("glimpse-retryable") == "true",
        request_id=trailing.get("glimpse-request-id", ""),
        stage=trailing.get("glimpse-stage", ""),
        retry_after_s=_seconds(trailing.get("glimpse-retry-after-s")),
    )


def _of_transport(status: grpc.StatusCode, details: str, target: str) -> ClientError:
    if status in _BROKEN:
        return _unreachable(target, details)
    if status in _FOREIGN:
        return ForeignAnswer(f"{target} does not answer as this service does: {details}")
    name = status.name.lower().replace("_", "-")
    return _BY_GRPC.get(status, ServiceFailed)(details, code=name)


def unreachable(error: httpx.HTTPError, url: str) -> Unreachable:
    """The error of a connection of HTTP."""
    return _unreachable(url, str(error) or type(error).__name__)


def _unreachable(place: str, reason: str) -> Unreachable:
    # A certificate that is not trusted now will not be in a moment.
    again = _UNTRUSTED not in reason
    return Unreachable(f"{place} does not answer: {reason}", code="unreachable", retryable=again)


def from_problem(status: int, body: bytes | str, url: str, retry_after: str | None = None) -> ClientError:
    """The error of a problem document (RFC 9457), or `ForeignAnswer` for anything else."""
    try:
        document = json.loads(body)
        kind = _of_http(int(document.get("status", status)))
        return kind(
            str(document["detail"]),
            code=str(document["code"]),
            retryable=bool(document["retryable"]),
            request_id=str(document["request_id"]),
            stage=str(document.get("stage", "")),
            retry_after_s=_seconds(retry_after or document.get("retry_after_s")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return ForeignAnswer(f"{url} does not answer as this service does: HTTP {status}")


def _of_http(status: int) -> type[ServiceError]:
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Overloaded
    if status == httpx.codes.GATEWAY_TIMEOUT:
        return DeadlineExceeded
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return AccessRefused
    return RequestRefused if status < httpx.codes.INTERNAL_SERVER_ERROR else ServiceFailed


def _seconds(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None
