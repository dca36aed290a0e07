"""The whole of REST: routes, problems, middleware, document."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from server.access.guard import Guard
from server.api.gateway import Telemetry
from server.api.hosts import ANY, Hosts
from server.api.rest import docs, inference, live, models, openapi, probes, problems, rendering
from server.api.rest.access import AccessMiddleware
from server.api.rest.headers import SecurityHeaders
from server.api.rest.hosts import HostCheck
from server.api.rest.linger import LingeringClose
from server.api.rest.middleware import CLIENT_GONE, RequestMiddleware
from server.api.rest.upload import ClientGone

_ASKED = ("Authorization", "X-API-Key", "X-Request-ID")
_TOLD = ("X-Request-ID", "Retry-After", "Glimpse-Model", "Server-Timing", "WWW-Authenticate")


def install(
    app: FastAPI, telemetry: Telemetry, guard: Guard, *, hosts: Hosts, allowed_origins: Sequence[str] = ()
) -> None:
    """Add REST to `app`, whose lifespan yields `{"gateway": Gateway}` as state, for those who ask under one of `hosts`
    and whom `guard` lets in; pages of `allowed_origins` may read its answers.
    """
    served = (inference.router(), rendering.router(), live.router(), models.router(), probes.router(telemetry))
    for router in (*served, problems.router(), docs.router()):
        app.include_router(router)

    async def left(_: Request, error: Exception) -> Response:
        telemetry.count_cancelled(error.kind if isinstance(error, ClientGone) else "upload")
        return Response(status_code=CLIENT_GONE)

    app.add_exception_handler(ClientGone, left)
    problems.install(app, telemetry)
    openapi.describe(app, open_to_all=guard.open_to_all)
    # From the inside out.
    app.add_middleware(AccessMiddleware, guard=guard)
    app.add_middleware(HostCheck, hosts=hosts, telemetry=telemetry)
    app.add_middleware(RequestMiddleware, telemetry=telemetry)
    if allowed_origins:
        # Never with credentials: a key that a page has it must send by itself.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=tuple(origin.lower() for origin in allowed_origins),
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=_ASKED,
            expose_headers=_TOLD,
            allow_private_network=ANY not in allowed_origins,
        )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(LingeringClose)
