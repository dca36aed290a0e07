"""Who may ask by HTTP: decided from the header of a request, before anything of its body is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.access.caller import CALLER
from server.access.credentials import SOCKET_PREFIX, Offered, in_address
from server.access.guard import Guard, TooOften
from server.access.rates import Quota
from server.errors import PermissionDenied, Unauthenticated

_REALM = 'Bearer realm="glimpse"'


class AccessMiddleware:
    """Plain ASGI around the routes, inside `RequestMiddleware`, which answers what is raised here."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises `Unauthenticated`, `PermissionDenied`, `RateLimited`, `BackendUnavailable`."""
        rule = self._guard.rule_of_path(scope["path"]) if scope["type"] == "http" else None
        if rule is None:
            await self._app(scope, receive, send)
            return
        # What is refused is never routed; its template still names it in log and metrics.
        scope["route"] = rule
        grant = await self._guard.admit(offered(scope), rule, CALLER.get().address)
        if grant.quota is None:
            await self._app(scope, receive, send)
            return
        quota = grant.quota

        async def send_with_quota(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(quota_headers(quota))
            await send(message)

        await self._app(scope, receive, send_with_quota)


def offered(scope: Scope) -> Offered:
    """What a request or a handshake brings."""
    headers = Headers(scope=scope)
    return Offered(
        authorization=headers.getlist("authorization"),
        api_key=headers.getlist("x-api-key"),
        subprotocols=[each for each in scope.get("subprotocols", ()) if each.startswith(SOCKET_PREFIX)],
        in_address=in_address(QueryParams(scope["query_string"]).multi_items()),
        certificate=scope.get("state", {}).get("certificate_name", ""),
    )


def address_of(scope: Scope) -> str:
    """The network address of the peer, without the port; empty where there is none."""
    client: Any = scope.get("client")
    return str(client[0]) if client else ""


def headers_of(error: Exception) -> Mapping[str, str]:
    """The headers that belong to a refusal: what to send (RFC 6750), and what is left of a rate."""
    if isinstance(error, Unauthenticated):
        invalid = error.details["reason"] not in {"missing"}
        return {"WWW-Authenticate": f'{_REALM}, error="invalid_token"' if invalid else _REALM}
    if isinstance(error, PermissionDenied):
        wanted = error.details["scope"]
        return {"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{wanted}"'}
    return quota_headers(error.quota) if isinstance(error, TooOften) else {}


def quota_headers(quota: Quota) -> Mapping[str, str]:
    """`RateLimit-Policy` and `RateLimit`, as the IETF's draft on rate limit header fields (version 10) writes them."""
    return {
        "RateLimit-Policy": f'"caller";q={quota.limit};w={max(1, math.ceil(quota.window_s))}',
        "RateLimit": f'"caller";r={quota.remaining};t={math.ceil(quota.reset_s)}',
    }
