"""Composition root: from settings to a running service. The only place that builds things."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from server import __version__
from server.access.guard import Guard
from server.admin import open_admin
from server.api.gateway import Drawn, Gateway
from server.api.grpc.listening import GrpcServer
from server.api.hosts import Hosts
from server.api.limits import Admission
from server.api.rest import routes
from server.api.ws.route import LiveSockets
from server.api.ws.route import route as live_route
from server.bounds import facts_of, grpc_bounds_of, limits_of
from server.encryption import certificates_of
from server.errors import GlimpseError
from server.guarded import guard_of, reloader_of
from server.notice import NOTICE
from server.pipeline.base import Analyzer, LiveAnalyzer
from server.pipelines import open_service
from server.report import elan
from server.report.coder_tables import table_csv
from server.report.json_lines import events_json_lines
from server.settings import Settings
from server.telemetry.loop import watched_loop
from server.telemetry.metrics import Metrics
from server.tls.watch import Certificates
from server.traces import open_tracer
from server.types import Report

_log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    pipelines: tuple[Analyzer, LiveAnalyzer] | None = None,
    *,
    renderings: Mapping[str, Callable[[Report], bytes]] | None = None,
) -> FastAPI:
    """REST and WebSocket as an ASGI application; while it runs, gRPC is served beside it, on a port of its own.

    `pipelines` replace those that the settings describe, `renderings` the forms of a report by media type. Its state
    holds `gateway`, `sockets`, `grpc`, `certificates`, None without encryption, `reloader` and `admin`, the address of
    the calls of operators. Raises `ConfigurationError` for certificates or samples that cannot
    be used.
    """
    metrics = Metrics()
    metrics.set_limits(
        queued=settings.limits.queued,
        inflight=settings.limits.inflight,
        streams=settings.live.max_streams,
        worker_bytes=settings.workers.memory_bytes,
    )
    certificates = certificates_of(settings.tls, metrics)
    guard = guard_of(settings, metrics)
    hosts = Hosts(settings.server.host, settings.server.allowed_hosts)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            # Left last, when all that could tell of itself has ended.
            await stack.enter_async_context(open_tracer(settings.telemetry, metrics))
            used = pipelines
            if used is None:
                used = await stack.enter_async_context(open_service(settings, metrics))
            await _warm_up(used[0])
            gateway = _gateway(settings, used, metrics, guard, renderings or renderers())
            reloader = await reloader_of(settings, guard, metrics)
            if certificates is not None:
                reloader.add("certificate", certificates.renew, *certificates.files.paths)
            await stack.enter_async_context(reloader.running())
            await stack.enter_async_context(watched_loop(metrics.observe_loop_lag))
            sockets = LiveSockets(gateway, allowed_origins=settings.server.allowed_origins, hosts=hosts)
            grpc = await stack.enter_async_context(_grpc(settings, gateway, certificates))
            admin = await stack.enter_async_context(open_admin(settings, gateway, reloader, metrics))
            yield {
                "gateway": gateway,
                "sockets": sockets,
                "grpc": grpc,
                "reloader": reloader,
                "admin": admin,
                "certificates": certificates,
            }

    app = FastAPI(
        title="Glimpse",
        version=__version__,
        description=f"Micro-expression recognition: timed events from clips of faces.\n\n{NOTICE}",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # A redirect would go to whatever host the request names.
        redirect_slashes=False,
        # FastAPI's own traces would carry query strings and exception texts.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    routes.install(
        app,
        metrics,
        guard,
        hosts=hosts,
        allowed_origins=settings.server.allowed_origins,
        sample_folder=Path(settings.server.samples) if settings.server.samples else None,
    )
    app.router.routes.append(live_route())
    return app


def _gateway(
    settings: Settings,
    pipelines: tuple[Analyzer, LiveAnalyzer],
    metrics: Metrics,
    guard: Guard,
    renderings: Mapping[str, Callable[[Report], bytes]],
) -> Gateway:
    analyzer, live = pipelines
    limits = limits_of(settings)
    return Gateway(
        analyzer=analyzer,
        live=live,
        facts=facts_of(settings),
        limits=limits,
        admission=Admission(limits, metrics),
        telemetry=metrics,
        renderers=renderings,
        guard=guard,
    )


@asynccontextmanager
async def _grpc(settings: Settings, gateway: Gateway, certificates: Certificates | None) -> AsyncIterator[GrpcServer]:
    """A server that listens, and ends before the pipeline does."""
    wanted = settings.server
    server = GrpcServer(gateway, reflect=wanted.grpc_reflection, bounds=grpc_bounds_of(settings))
    await server.start(wanted.host, wanted.grpc_port, certificates)
    try:
        yield server
    finally:
        server.begin_to_stop(wanted.drain_seconds)
        await server.stopped()


def renderers() -> Mapping[str, Callable[[Report], bytes]]:
    """The forms of a report other than JSON, by media type; with a parameter where an option chooses among several."""
    return {
        "text/csv": lambda report: table_csv(report).encode(),
        "text/csv;columns=casme2": lambda report: table_csv(report, "casme2").encode(),
        "text/csv;columns=samm": lambda report: table_csv(report, "samm").encode(),
        elan.MEDIA_TYPE: elan.elan_document,
        "application/x-ndjson": lambda report: events_json_lines(report).encode(),
        "image/png": Drawn(partial(_drawn, "report_png")),
        "image/svg+xml": Drawn(partial(_drawn, "report_svg")),
        "application/pdf": Drawn(partial(_drawn, "report_pdf")),
    }


def _drawn(form: str, report: Report, threshold: float | None) -> bytes:
    # Loaded when the first picture is drawn: many services never draw one.
    from server.report.render import documents

    draw: Callable[..., bytes] = getattr(documents, form)
    return draw(report, threshold=threshold)


async def _warm_up(analyzer: Analyzer) -> None:
    """Ask once, so that the first caller finds loaded models; a backend that comes later is no reason not to start."""
    try:
        readiness = await analyzer.readiness()
    except GlimpseError as error:
        _log.warning("not ready yet", extra={"reasons": error.message})
        return
    if not readiness.ready:
        _log.warning("not ready yet", extra={"reasons": ", ".join(readiness.reasons)})
