"""Headers that tell browsers what an answer may not be used for, on every answer of HTTP."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from types import MappingProxyType

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.hosts import name_of

_STARTS = {"http.response.start", "websocket.http.response.start"}
_YEAR_S = 365 * 24 * 3600

DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        # What is no page needs nothing; pages say what they need.
        "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        # Reports are about persons; what is for everybody says so.
        "Cache-Control": "no-store",
    }
)


class SecurityHeaders:
    """Plain ASGI: adds what the answer itself does not say, and under TLS that it must stay encrypted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one handshake of WebSocket."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        lasting = scope["scheme"] in {"https", "wss"} and _named(Headers(scope=scope).get("host", ""))

        async def send_marked(message: Message) -> None:
            if message["type"] in _STARTS:
                headers = MutableHeaders(scope=message)
                for name, value in DEFAULTS.items():
                    headers.setdefault(name, value)
                if lasting:
                    headers.setdefault("Strict-Transport-Security", f"max-age={_YEAR_S}")
            await send(message)

        await self._app(scope, receive, send_marked)


def _named(host: str) -> bool:
    """Whether a promise for this host is for it alone: those of localhost would bind every service of the machine."""
    name = name_of(host) or "localhost"
    if name == "localhost" or name.endswith(".localhost"):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return True
    return False
