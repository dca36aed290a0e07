"""Composition root: from settings to a running service. The only place that builds things."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI

from server import __version__
from server.api.gateway import Gateway
from server.api.limits import Admission, Limits
from server.api.rest import connection, routes
from server.errors import ConfigurationError, GlimpseError
from server.mllm import with_mllm
from server.pipeline.base import Analyzer, Observer
from server.predict.base import Predictor
from server.predict.engine import Gpu
from server.predict.repository import ModelRepository
from server.recipes.registry import RECIPES
from server.report.export import events_csv
from server.settings import Settings
from server.telemetry import logging as telemetry_logging
from server.telemetry.metrics import Metrics
from server.types import Report

if TYPE_CHECKING:
    from server.pipeline.shadow import Shadow

_log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    analyzer: Analyzer | None = None,
    *,
    renderings: Mapping[str, Callable[[Report], bytes]] | None = None,
) -> FastAPI:
    """REST as an ASGI application.

    `analyzer` replaces the pipeline that the settings describe, `renderings` the forms of a report by media type.
    """
    metrics = Metrics()
    limits = limits_of(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with AsyncExitStack() as stack:
            used = analyzer
            if used is None:
                used = await stack.enter_async_context(open_pipeline(settings, metrics))
            await _warm_up(used)
            yield {"gateway": Gateway(used, limits, Admission(limits, metrics), metrics, renderings or renderers())}

    app = FastAPI(
        title="Glimpse",
        version=__version__,
        description="Micro-expression recognition: timed events from clips of faces.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # A redirect would go to whatever host the request names.
        redirect_slashes=False,
        # FastAPI's own traces would carry query strings and exception texts.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )
    routes.install(app, metrics)
    return app


@asynccontextmanager
async def open_predictor(settings: Settings, *, load: bool = True) -> AsyncIterator[Predictor]:
    """The backend that the settings name; without `load`, a model is loaded when it is asked for first.

    Raises `ConfigurationError`.
    """
    backend = settings.backend
    folder = Path(backend.repository)
    predictor: Predictor
    if backend.kind == "local":
        from server.predict.local import LocalPredictor

        local = LocalPredictor(ModelRepository(folder, RECIPES), threads=backend.threads, providers=backend.providers)
        if load:
            # At start, not at the first request: a broken file is then listed as such from the beginning.
            await local.load()
        predictor = local
    else:
        from server.predict.triton import TritonPredictor

        cards = ModelRepository(folder, RECIPES, backend="triton") if folder.is_dir() else None  # noqa: ASYNC240 - before anything runs
        gpu = Gpu(backend.compute_capability, backend.tensorrt_version)
        predictor = TritonPredictor(backend.triton_address, recipes=RECIPES, repository=cards, gpu=gpu)
    predictor = with_mllm(predictor, settings.mllm)
    try:
        yield predictor
    finally:
        await predictor.close()


@asynccontextmanager
async def open_pipeline(settings: Settings, observer: Observer) -> AsyncIterator[Analyzer]:
    """The whole analysis, with its worker processes. Raises `ConfigurationError`."""
    from server.media.limits import MediaLimits
    from server.pipeline.clip import ClipPipeline, ClipPolicy
    from server.pipeline.stages import Stages
    from server.pipeline.workers import WorkerPool

    limits = settings.limits
    policy = ClipPolicy(
        default_model=settings.backend.default_model,
        limits=MediaLimits(limits.clip_seconds, limits.clip_frames, limits.frame_pixels),
        max_faces=limits.faces,
        min_face_coverage=settings.analysis.min_face_coverage,
    )
    # As many may wait for a worker as admission lets in, so that only admission ever refuses.
    pool = WorkerPool(
        Stages,
        workers=settings.workers.count,
        queue=limits.inflight,
        memory_bytes=settings.workers.memory_bytes,
        observer=observer,
    )
    async with open_predictor(settings) as predictor, _open_shadow(settings, observer) as shadow:
        await pool.start()
        try:
            yield ClipPipeline(predictor=predictor, pool=pool, policy=policy, observer=observer, shadow=shadow)
        finally:
            await pool.close(0)


@asynccontextmanager
async def _open_shadow(settings: Settings, observer: Observer) -> AsyncIterator[Shadow | None]:
    """The second model on the same traffic, where the settings name one, with a backend of its own."""
    from server.pipeline.shadow import Shadow, ShadowPolicy

    wanted = settings.shadow
    if not wanted.model:
        yield None
        return
    policy = ShadowPolicy(
        model=wanted.model,
        share=wanted.share,
        deadline_s=wanted.deadline_seconds,
        queue=wanted.queue,
        extraction_s=wanted.extraction_seconds,
        whole_movement=wanted.whole_movement,
    )
    async with open_predictor(settings, load=False) as predictor:
        shadow = Shadow(predictor=predictor, policy=policy, observer=observer)
        await shadow.start()
        try:
            yield shadow
        finally:
            await shadow.close()


def renderers() -> Mapping[str, Callable[[Report], bytes]]:
    """The forms of a report other than JSON, by media type."""
    return {"text/csv": lambda report: events_csv(report).encode(), "image/png": _timeline}


def _timeline(report: Report) -> bytes:
    from server.report.render import timeline_png

    return timeline_png(report)


def limits_of(settings: Settings) -> Limits:
    """The bounds of requests."""
    limits = settings.limits
    return Limits(
        upload_bytes=limits.upload_bytes,
        upload_idle_s=limits.upload_idle_seconds,
        upload_bytes_per_s=limits.upload_bytes_per_second,
        uploads=limits.uploads,
        inflight=limits.inflight,
        queued=limits.queued,
        buffered_bytes=limits.buffered_bytes,
        deadline_s=settings.server.request_deadline_seconds,
    )


async def _warm_up(analyzer: Analyzer) -> None:
    """Ask once, so that the first caller finds loaded models; a backend that comes later is no reason not to start."""
    try:
        readiness = await analyzer.readiness()
    except GlimpseError as error:
        _log.warning("not ready yet", extra={"reasons": error.message})
        return
    if not readiness.ready:
        _log.warning("not ready yet", extra={"reasons": ", ".join(readiness.reasons)})


class Service(uvicorn.Server):
    """Serves an application on `listener` and calls `on_ready` with its URL once it answers."""

    def __init__(
        self, app: FastAPI, settings: Settings, listener: socket.socket, on_ready: Callable[[str], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connection.protocol(settings.server.header_seconds),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=max(1, round(settings.server.drain_seconds)),
            )
        )
        self._listener = listener
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets or [self._listener])
        if self.started:
            self._on_ready(url_of(self._listener))


def listen(settings: Settings) -> socket.socket:
    """A bound socket. Raises `ConfigurationError` where the address is taken or not ours."""
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off, which would cost a request 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with GLIMPSE_SERVER__PORT"
        ) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """The address of the service, as a client on this machine would type it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(settings: Settings, *, on_ready: Callable[[str], None] = lambda _: None) -> None:
    """Serve until SIGINT or SIGTERM, then let requests in flight finish.

    Raises `ConfigurationError` where the service cannot start.
    """
    listener = listen(settings)
    telemetry_logging.configure(settings.telemetry.log_level, settings.telemetry.log_format)

    def announce(url: str) -> None:
        _log.info("listening", extra={"url": url, "version": __version__, "backend": settings.backend.kind})
        on_ready(url)

    # uvicorn raises the signal that ended it once more; as an interrupt it ends here, with exit status 0.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            Service(create_app(settings), settings, listener, announce).run()
    except SystemExit as end:
        raise ConfigurationError("the service could not start; the log says why") from end
    finally:
        listener.close()
        signal.signal(signal.SIGTERM, previous)
