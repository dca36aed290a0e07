"""Around every request: its id, its record in the log, its metrics, and an answer to exceptions nobody foresaw."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.access.caller import CALLER, Caller
from server.api.gateway import Telemetry, now
from server.api.rest import problems
from server.api.rest.access import address_of
from server.errors import Overloaded
from server.spans import NO_SPAN, Span, current, entered
from server.telemetry.context import REQUEST_ID, accepted_or_new

CLIENT_GONE = 499
"""Status under which a request is counted whose client did not wait; nobody receives it."""

_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_UNTRACED = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: their traces would be most of all, and tell nothing."""

_log = logging.getLogger(__name__)


class RequestMiddleware:
    """Plain ASGI, so that streams and disconnects pass through untouched."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = accepted_or_new(Headers(scope=scope).get("x-request-id", ""))
        token = REQUEST_ID.set(request_id)
        nobody = CALLER.set(Caller(address=address_of(scope)))
        try:
            with entered(self._begun(scope, request_id)):
                await self._observed(scope, receive, send, request_id)
        finally:
            CALLER.reset(nobody)
            REQUEST_ID.reset(token)

    def _begun(self, scope: Scope, request_id: str) -> Span:
        if scope["path"] in _UNTRACED:
            return NO_SPAN
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        known = {"http.request.method": method, "glimpse.request_id": request_id}
        return self._telemetry.tracer.request(method, traceparent_of(scope), known)

    async def _observed(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        arrived = now()
        scope["state"]["arrived"] = arrived
        # What answers GET answers HEAD; the server leaves the body out.
        inner = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        status = CLIENT_GONE
        answered: float | None = None

        async def send_marked(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            elif not message.get("more_body", False):
                answered = now()
            await send(message)

        try:
            await self._app(inner, receive, send_marked)
        except (Exception, asyncio.CancelledError) as error:
            if status != CLIENT_GONE:
                raise
            # Only the server cancels this outermost task, when a shutdown has waited long enough.
            shown = Overloaded("the service is shutting down") if isinstance(error, asyncio.CancelledError) else error
            await problems.response(shown, scope["path"], self._telemetry)(scope, receive, send_marked)
        finally:
            self._record(scope["method"], template(inner), status, (answered or now()) - arrived)

    def _record(self, method: str, route: str, status: int, seconds: float) -> None:
        self._telemetry.observe_request(route, status, seconds)
        current().rename(f"{method if method in _METHODS else '_OTHER'} {route}")
        current().set({"http.route": route, "http.response.status_code": status})
        if status == CLIENT_GONE:
            current().set({"glimpse.cancelled": True})
        _log.info(
            "request",
            extra={
                "method": method,
                "route": route,
                "status": status,
                "caller": CALLER.get().label,
                "duration_ms": round(seconds * 1000, 1),
            },
        )


def traceparent_of(scope: Scope) -> str:
    """The trace that a request says it belongs to; empty where it says none, or more than one."""
    offered = Headers(scope=scope).getlist("traceparent")
    return offered[0] if len(offered) == 1 else ""


def template(scope: Scope) -> str:
    """The route's template: a raw path could make any number of labels."""
    route: Any = scope.get("route")
    return getattr(route, "path", None) or "unmatched"
