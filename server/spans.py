"""Spans of one request, told by whatever works on it to whoever collects them, or to nobody.

The current span is a context variable, so that stages need not hand it on. What collects is `server.telemetry.tracing`;
nothing here imports a library. Times are `time.monotonic()` values. Names of spans, events and attributes are constants
of the code, and an attribute that `ATTRIBUTES` does not list is not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

from server.errors import GlimpseError

Value: TypeAlias = str | int | float | bool
Kind: TypeAlias = Literal["internal", "server", "client"]

NOTHING: Mapping[str, Value] = MappingProxyType({})
ERROR_TYPE = "error.type"

ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "http.request.method": "`GET`, `POST` and the like; `_OTHER` for a method that HTTP does not define",
        "http.route": "template of the route, never the address that was asked for; `unmatched` where there is none",
        "http.response.status_code": "status of HTTP",
        "rpc.system.name": "`grpc`",
        "rpc.method": "service and method, such as `inference.GRPCInferenceService/ModelInfer`",
        "rpc.response.status_code": "name of the status of gRPC",
        "websocket.close_code": "code with which a WebSocket was closed, or the HTTP status of a refused handshake",
        "glimpse.request_id": "request id, as in the log: the client's own where it gave one",
        ERROR_TYPE: "code of the problem (`no-face`), or the type of an exception that is a defect; never its text",
        "glimpse.cancelled": "the client left, or the work was given up",
        "glimpse.upload.bytes": "size of the upload",
        "glimpse.stage": "stage that a worker began (event `stage`)",
        "glimpse.busy_s": "seconds that a stage really took: frames pass through the stages in turn",
        "glimpse.clip.frames": "frames of the clip",
        "glimpse.clip.movements": "movements that were measured",
        "glimpse.model": "name of the model",
        "glimpse.model_version": "version of the model",
        "glimpse.backend": "`local`, `triton` or `mllm`",
        "glimpse.batch": "movements of one call of the model",
        "glimpse.retry.sent": "whether the call was made again, or the budget of retries was spent (event `retry`)",
        "glimpse.circuit.target": "model whose circuit changed, or `connection` (event `circuit`)",
        "glimpse.circuit.state": "`closed`, `trying` or `open`",
        "glimpse.fallback.reason": "why the local copy answered: `unavailable`, `failed`, `deadline`",
        "glimpse.media_type": "form of the report: JSON, CSV, PNG",
        "glimpse.live.policy": "buffer policy of a stream",
        "glimpse.live.frame_rate": "frames per second that the client announced",
        "glimpse.live.received": "frames of the stream",
        "glimpse.live.analysed": "frames that were looked at",
        "glimpse.live.dropped": "frames that were dropped",
        "glimpse.live.refused": "frames that could not be read",
        "glimpse.live.events": "events told",
        "glimpse.live.withdrawn": "movements withdrawn",
        "glimpse.live.movement": "number of the movement within its stream",
        "glimpse.live.outcome": "`event` or `withdrawn`",
    }
)
"""Every attribute that a span, an event or a link may have, and what it holds; `docs/tracing.md` shows this table."""


class Span(Protocol):
    """One piece of work of one request. Ids are hexadecimal, and empty where nobody collects."""

    @property
    def trace_id(self) -> str:
        """32 digits."""
        ...

    @property
    def span_id(self) -> str:
        """16 digits."""
        ...

    @property
    def carrier(self) -> Mapping[str, str]:
        """The headers by which another service goes on with the trace (W3C Trace Context); none where nobody should."""
        ...

    def rename(self, name: str) -> None:
        """It is known better now what this is, such as the route of a request."""

    def set(self, attributes: Mapping[str, Value]) -> None:
        """What is known of the work."""

    def event(self, name: str, attributes: Mapping[str, Value] = NOTHING) -> None:
        """Something happened, now."""

    def fail(self, code: str) -> None:
        """It failed, with the code of a problem or the name of a type."""

    def child(
        self,
        name: str,
        attributes: Mapping[str, Value] = NOTHING,
        *,
        kind: Kind = "internal",
        began: float | None = None,
    ) -> Span:
        """A part of the work that begins now, or began then."""
        ...

    def linked(self, name: str, attributes: Mapping[str, Value] = NOTHING, *, began: float | None = None) -> Span:
        """Work with a trace of its own that points to this one, and is traced where this is; for what must not wait for
        the end of a long span.
        """
        ...

    def end(self, ended: float | None = None) -> None:
        """The work is done, now or then. Only the first call counts."""


class Tracer(Protocol):
    """Begins the spans of requests."""

    def request(self, name: str, traceparent: str, attributes: Mapping[str, Value]) -> Span:
        """The span of a request that has just come, with the header of its caller or nothing; `NO_SPAN` where it is
        not to be traced.
        """
        ...


class _NoSpan:
    trace_id = ""
    span_id = ""
    carrier: Mapping[str, str] = MappingProxyType({})

    def rename(self, name: str) -> None:
        """Nobody collects."""

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Nobody collects."""

    def event(self, name: str, attributes: Mapping[str, Value] = NOTHING) -> None:
        """Nobody collects."""

    def fail(self, code: str) -> None:
        """Nobody collects."""

    def child(
        self,
        name: str,
        attributes: Mapping[str, Value] = NOTHING,
        *,
        kind: Kind = "internal",
        began: float | None = None,
    ) -> Span:
        """Nobody collects."""
        return self

    def linked(self, name: str, attributes: Mapping[str, Value] = NOTHING, *, began: float | None = None) -> Span:
        """Nobody collects."""
        return self

    def end(self, ended: float | None = None) -> None:
        """Nobody collects."""


class _Untraced:
    def request(self, name: str, traceparent: str, attributes: Mapping[str, Value]) -> Span:
        """Nobody collects."""
        return NO_SPAN


NO_SPAN: Span = _NoSpan()
UNTRACED: Tracer = _Untraced()
_CURRENT: ContextVar[Span] = ContextVar("span", default=NO_SPAN)


def current() -> Span:
    """The span of what is being worked on here."""
    return _CURRENT.get()


@contextmanager
def entered(begun: Span) -> Iterator[Span]:
    """`begun` as the current span for the time of a block, at whose end it ends.

    Also where it is `NO_SPAN`: a server may start a request in the context of the one before it on the connection.
    """
    token = _CURRENT.set(begun)
    try:
        yield begun
    finally:
        begun.end()
        _CURRENT.reset(token)


@contextmanager
def span(name: str, attributes: Mapping[str, Value] = NOTHING, *, kind: Kind = "internal") -> Iterator[Span]:
    """A child of the current span for the time of a block; an exception fails it, with its code where it has one."""
    with entered(_CURRENT.get().child(name, attributes, kind=kind)) as begun:
        try:
            yield begun
        except asyncio.CancelledError:
            begun.set({"glimpse.cancelled": True})
            raise
        except Exception as error:
            begun.fail(error.code if isinstance(error, GlimpseError) else type(error).__name__)
            raise
