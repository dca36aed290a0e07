"""From settings to the pipelines of clips and live streams, with their backend and their worker processes.

Heavy parts are imported where they are built: a command that needs one kind does not load the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from server.access.caller import CALLER
from server.bounds import media_limits_of, worker_bounds_of
from server.errors import GlimpseError
from server.mllm import with_mllm
from server.pipeline.base import Analyzer, LiveAnalyzer, Observer
from server.predict.base import UNWATCHED, BackendWatch, Predictor
from server.predict.engine import Gpu
from server.predict.repository import ModelRepository
from server.recipes.registry import RECIPES
from server.settings import Settings
from server.settings.workers import available_cpus

if TYPE_CHECKING:
    from server.pipeline.clip import ClipPipeline
    from server.pipeline.shadow import Shadow


@asynccontextmanager
async def open_predictor(
    settings: Settings, *, load: bool = True, watch: BackendWatch = UNWATCHED, stand_in: bool = False
) -> AsyncIterator[Predictor]:
    """The backend that the settings name; without `load`, a model is loaded when it is asked for first.

    With `stand_in`, local models answer for Triton where the settings say so. Raises `ConfigurationError`.
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
        from server.predict.triton_tls import credentials

        cards = ModelRepository(folder, RECIPES, backend="triton") if folder.is_dir() else None  # noqa: ASYNC240 - before anything runs
        gpu = Gpu(backend.compute_capability, backend.tensorrt_version)
        encryption = credentials(backend.triton_ca, backend.triton_certificate, backend.triton_key)
        predictor = TritonPredictor(
            backend.triton_address, recipes=RECIPES, repository=cards, gpu=gpu, credentials=encryption, watch=watch
        )
        if stand_in and backend.fallback == "local":
            predictor = await _with_fallback(settings, predictor, watch)
    predictor = with_mllm(predictor, settings.mllm)
    try:
        yield predictor
    finally:
        await predictor.close()


async def _with_fallback(settings: Settings, main: Predictor, watch: BackendWatch) -> Predictor:
    from server.predict.fallback import FallbackPredictor
    from server.predict.local import LocalPredictor

    backend = settings.backend
    local = LocalPredictor(
        ModelRepository(Path(backend.repository), RECIPES), threads=backend.threads, providers=backend.providers
    )
    with suppress(GlimpseError):
        # Loaded now, since the first request that needs it will have waited already.
        await local.probe(backend.default_model)
    return FallbackPredictor(
        main,
        local,
        patience_s=backend.fallback_after_seconds,
        concurrency=backend.fallback_concurrency,
        watch=watch,
    )


@asynccontextmanager
async def open_service(settings: Settings, observer: Observer) -> AsyncIterator[tuple[Analyzer, LiveAnalyzer]]:
    """Clips and live streams, with their worker processes, over one backend. Raises `ConfigurationError`."""
    async with (
        open_predictor(settings, watch=observer, stand_in=True) as predictor,
        _open_clips(settings, predictor, observer, spare=settings.workers.spare) as clips,
        clips.prober.running(),
        open_live(settings, predictor, observer) as live,
    ):
        yield clips, live


@asynccontextmanager
async def open_pipeline(settings: Settings, observer: Observer) -> AsyncIterator[Analyzer]:
    """The analysis of clips alone, with its worker processes. Raises `ConfigurationError`."""
    async with open_predictor(settings) as predictor, _open_clips(settings, predictor, observer) as clips:
        yield clips


@asynccontextmanager
async def open_live(settings: Settings, predictor: Predictor, observer: Observer) -> AsyncIterator[LiveAnalyzer]:
    """Live streams, with a process that waits for the first. Raises `ConfigurationError`."""
    from server.pipeline.live import LivePipeline, capacity
    from server.pipeline.live_stream import LivePolicy
    from server.pipeline.live_worker import LiveStages
    from server.pipeline.live_workers import LiveWorkers

    wanted = settings.live
    bounds = worker_bounds_of(settings)
    workers = LiveWorkers(LiveStages, most=wanted.max_streams, bounds=bounds, observer=observer)
    try:
        await workers.start()
        policy = LivePolicy(
            max_streams=wanted.max_streams,
            frames_per_s=wanted.frames_per_second
            or capacity(await workers.frame_cost_s(), processors=available_cpus()),
            idle_s=wanted.idle_seconds,
            answer_s=wanted.answer_seconds,
            buffer_frames=wanted.buffer_frames,
            buffer_bytes=wanted.buffer_bytes,
            store_bytes=wanted.store_bytes,
            max_faces=settings.limits.faces,
            inference_s=wanted.inference_seconds,
            limits=media_limits_of(settings),
        )
        default = settings.backend.default_model
        yield LivePipeline(
            predictor=predictor,
            workers=workers,
            policy=policy,
            observer=observer,
            default_model=default,
            tenant=_tenant,
            tenant_share=wanted.tenant_share,
        )
    finally:
        await workers.close()


@asynccontextmanager
async def _open_clips(
    settings: Settings, predictor: Predictor, observer: Observer, *, spare: int = 0
) -> AsyncIterator[ClipPipeline]:
    from server.pipeline.clip import ClipPipeline, ClipPolicy
    from server.pipeline.stages import Stages
    from server.pipeline.workers import WorkerPool

    policy = ClipPolicy(
        default_model=settings.backend.default_model,
        limits=media_limits_of(settings),
        max_faces=settings.limits.faces,
        min_face_coverage=settings.analysis.min_face_coverage,
        required_models=settings.backend.required_models,
    )
    # As many may wait for a worker as admission lets in, so that only admission ever refuses.
    pool = WorkerPool(
        Stages,
        workers=settings.workers.count,
        queue=settings.limits.inflight,
        bounds=worker_bounds_of(settings),
        observer=observer,
        spare=spare,
        tenant=_tenant,
    )
    async with _open_shadow(settings, observer) as shadow:
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


def _tenant() -> str:
    return CALLER.get().tenant
