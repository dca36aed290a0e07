"""Requests under a foreign name are refused before anything of them is looked at."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.gateway import Telemetry
from server.api.hosts import REFUSAL, Hosts
from server.api.rest import problems


class HostCheck:
    """Plain ASGI; `server.api.ws` checks its handshakes by itself."""

    def __init__(self, app: ASGIApp, hosts: Hosts, telemetry: Telemetry) -> None:
        self._app = app
        self._hosts = hosts
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. A foreign name is answered 421."""
        if scope["type"] != "http" or self._hosts.admits(Headers(scope=scope).get("host")):
            await self._app(scope, receive, send)
            return
        refusal = problems.ProtocolError(421, REFUSAL)
        await problems.response(refusal, scope["path"], self._telemetry)(scope, receive, send)
