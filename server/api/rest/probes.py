"""Probes of the orchestrator and the metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from server.api.gateway import Gateway, Telemetry
from server.api.readiness import readiness_of
from server.api.rest import openapi


def router(telemetry: Telemetry) -> APIRouter:
    """Three routes that wait for nothing but themselves, and `/readyz`."""
    routes = APIRouter(tags=["operation"])

    @routes.get("/livez", summary="Whether the event loop turns", **openapi.LIVEZ)
    async def livez() -> Response:
        """Touches nothing, so that a busy or broken backend never restarts the service."""
        return JSONResponse({"status": "ok"})

    @routes.get("/readyz", summary="Whether a request would be answered now", **openapi.READYZ)
    async def readyz(request: Request) -> Response:
        """503 with the reasons while workers or the backend are not there."""
        gateway: Gateway = request.state.gateway
        readiness = await readiness_of(gateway.analyzer)
        return JSONResponse(
            {"ready": readiness.ready, "reasons": list(readiness.reasons)}, 200 if readiness.ready else 503
        )

    @routes.get("/metrics", summary="Metrics in the text format of Prometheus", **openapi.METRICS)
    async def metrics(request: Request) -> Response:
        """See the documentation for the names. OpenMetrics, with exemplars, where that is asked for."""
        body, content_type = telemetry.exposition(",".join(request.headers.getlist("accept")))
        return Response(body, media_type=content_type)

    return routes
