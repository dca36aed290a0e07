"""Probes of the orchestrator and the metrics."""

from __future__ import annotations

import asyncio
import logging

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from server.api.gateway import Gateway, Telemetry
from server.api.rest import openapi
from server.pipeline.base import Analyzer, Readiness

_READINESS_S = 5.0

_log = logging.getLogger(__name__)


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
        readiness = await _readiness(gateway.analyzer)
        return JSONResponse(
            {"ready": readiness.ready, "reasons": list(readiness.reasons)}, 200 if readiness.ready else 503
        )

    @routes.get("/metrics", summary="Metrics in the text format of Prometheus", **openapi.METRICS)
    async def metrics() -> Response:
        """See the documentation for the names."""
        body, content_type = telemetry.exposition()
        return Response(body, media_type=content_type)

    return routes


async def _readiness(analyzer: Analyzer) -> Readiness:
    try:
        async with asyncio.timeout(_READINESS_S):
            return await analyzer.readiness()
    except TimeoutError:
        return Readiness(ready=False, reasons=(f"the readiness check took longer than {_READINESS_S:g} s",))
    except Exception as error:  # noqa: BLE001 - a check that fails means not ready, whatever failed
        _log.warning("readiness check failed", exc_info=error)
        return Readiness(ready=False, reasons=("the readiness check failed",))
