"""The whole of REST: routes, problems, middleware, document."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response

from server.access.guard import Guard
from server.api.gateway import Telemetry
from server.api.rest import docs, inference, live, models, openapi, probes, problems
from server.api.rest.access import AccessMiddleware
from server.api.rest.linger import LingeringClose
from server.api.rest.middleware import CLIENT_GONE, RequestMiddleware
from server.api.rest.upload import ClientGone


def install(app: FastAPI, telemetry: Telemetry, guard: Guard) -> None:
    """Add REST to `app`, whose lifespan yields `{"gateway": Gateway}` as state."""
    served = (inference.router(), live.router(), models.router(), probes.router(telemetry))
    for router in (*served, problems.router(), docs.router()):
        app.include_router(router)

    async def left(_: Request, error: Exception) -> Response:
        telemetry.count_cancelled(error.kind if isinstance(error, ClientGone) else "upload")
        return Response(status_code=CLIENT_GONE)

    app.add_exception_handler(ClientGone, left)
    problems.install(app, telemetry)
    openapi.describe(app, open_to_all=guard.open_to_all)
    app.add_middleware(AccessMiddleware, guard=guard)
    app.add_middleware(RequestMiddleware, telemetry=telemetry)
    app.add_middleware(LingeringClose)
