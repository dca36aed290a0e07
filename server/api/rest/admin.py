"""`/admin/*`: what operators alone may ask, served by a listener of its own and never by the public one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from server import __version__
from server.access.reloading import Reloader
from server.api.gateway import Gateway, Telemetry
from server.api.hosts import Hosts
from server.api.readiness import readiness_of
from server.api.rest import problems
from server.api.rest.access import AccessMiddleware
from server.api.rest.headers import SecurityHeaders
from server.api.rest.hosts import HostCheck
from server.api.rest.linger import LingeringClose
from server.api.rest.middleware import RequestMiddleware
from server.api.rest.problems import ProtocolError
from server.errors import ModelError
from server.pipeline.base import MODEL_NAME


class Instruments(Telemetry, Protocol):
    """Metrics that can be read as well."""

    def gauges(self) -> Mapping[str, Any]:
        """The present value of every gauge, by name; where it has labels, one for each of them."""
        ...


class ModelControl(Protocol):
    """Loads and unloads models of the backend. Both raise `ModelError`, `BackendUnavailable`, `BackendFailed`."""

    async def load(self, name: str) -> None:
        """Load a model, or load it anew."""

    async def unload(self, name: str) -> None:
        """Unload a model."""


def admin_app(
    gateway: Gateway, reloader: Reloader, metrics: Instruments, hosts: Hosts, models: ModelControl | None = None
) -> FastAPI:
    """The calls of operators as an application, for those who ask under one of `hosts`. Without `models` none is loaded
    or unloaded.
    """
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )

    @app.get("/admin/state")
    async def state() -> Response:
        ready = await readiness_of(gateway.analyzer)
        live, guard = gateway.live, gateway.guard
        return JSONResponse(
            {
                "version": __version__,
                "ready": ready.ready,
                "reasons": list(ready.reasons),
                "access": {"keys": len(guard.keys) if guard.keys is not None else None, "tokens": bool(guard.tokens)},
                "live": {"streams": live.streams, "frames_per_s": live.frames_per_s, "leases": guard.leases},
                "gauges": metrics.gauges(),
            }
        )

    @app.post("/admin/reload")
    async def reload(request: Request) -> Response:
        _refuse_pages(request)
        told = await reloader.reload()
        failed = {name: reason for name, reason in told.items() if reason}
        done = {"reloaded": [name for name, reason in told.items() if not reason], "failed": failed}
        return JSONResponse(done, 500 if failed else 200)

    @app.post("/admin/models/{name}/{change}")
    async def change_model(request: Request, name: str, change: str) -> Response:
        _refuse_pages(request)
        if change not in {"load", "unload"} or not re.fullmatch(MODEL_NAME, name):
            raise ProtocolError(404, "the calls are /admin/models/{name}/load and /admin/models/{name}/unload")
        if models is None:
            raise ModelError("this backend loads its models by itself", stage="inference")
        await (models.load(name) if change == "load" else models.unload(name))
        return JSONResponse({"model": name, "change": change})

    problems.install(app, metrics)
    app.add_middleware(AccessMiddleware, guard=gateway.guard)
    app.add_middleware(HostCheck, hosts=hosts, telemetry=metrics)
    app.add_middleware(RequestMiddleware, telemetry=metrics)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(LingeringClose)
    return app


def _refuse_pages(request: Request) -> None:
    """Any page that an operator looks at could send a request here, without reading the answer."""
    if "origin" in request.headers:
        raise ProtocolError(403, "web pages may not ask this")
