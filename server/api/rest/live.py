"""`GET /v1/live` without an upgrade: where readers of the OpenAPI document, which knows no WebSocket, learn of it."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from server.api.rest import openapi
from server.api.rest.problems import ProtocolError


def router() -> APIRouter:
    """The one route; `server.api.ws` serves who does upgrade."""
    routes = APIRouter(tags=["inference"])

    @routes.get("/v1/live", summary="Live streams, by WebSocket alone", **openapi.LIVE)
    async def live() -> Response:
        """Frames in as binary messages, JSON out: see docs/websocket.md. Without an upgrade there is nothing to see."""
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        raise ProtocolError(426, "open this address as a WebSocket: ws:// or wss://", headers=headers)

    return routes
