"""Who looks at the clips of a corpus: worker processes, over the pipeline that `glimpse analyze` uses."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from server.bulk.examine import Read, examine
from server.bulk.outcomes import Clip, Outcome, Work
from server.errors import ModelNotServable, UnknownModel
from server.pipelines import open_pipeline
from server.settings import Settings
from server.settings.shadow import ShadowSettings
from server.telemetry.metrics import Metrics
from server.types import AnalyzeOptions, ModelRef, Report

if TYPE_CHECKING:
    from server.pipeline.base import Analyzer

READ_AHEAD = 1
"""Clips that are read or recorded while each worker has one."""


class Engine(Protocol):
    """Looks at as many clips at a time as it has `slots`, all with one version of one model."""

    slots: int
    model: ModelRef

    async def examine(self, clip: Clip) -> Outcome:
        """What becomes of a clip. Raises `server.bulk.examine.NOT_THE_CLIP`."""
        ...


class LocalEngine:
    """`workers` clips are analysed at a time, and a further one is read meanwhile; `work.options` name the version."""

    def __init__(self, analyzer: Analyzer, model: ModelRef, work: Work, workers: int) -> None:
        self.slots = workers + READ_AHEAD
        self.model = model
        self._analyzer = analyzer
        self._work = work
        # The time of a clip begins when a worker has it.
        self._workers = asyncio.Semaphore(workers)

    async def examine(self, clip: Clip, shipped: Read | None = None) -> Outcome:
        """What becomes of a clip, which is read here unless it was `shipped`. Raises `NOT_THE_CLIP`."""
        return await examine(clip, self._analyze, self._work.most_bytes, shipped)

    async def _analyze(self, content: bytearray) -> Report:
        async with self._workers:
            return await self._analyzer.analyze(
                content,
                self._work.options,
                request_id=uuid.uuid4().hex,
                deadline=time.monotonic() + self._work.timeout_s,
            )


@asynccontextmanager
async def open_local(settings: Settings, work: Work) -> AsyncIterator[LocalEngine]:
    """The processors of this machine.

    Raises `ConfigurationError`, `UnknownModel`, `ModelNotServable`, `BackendUnavailable`.
    """
    # What a shadow model would say is for metrics, and nobody reads those of a command.
    alone = settings.model_copy(update={"shadow": ShadowSettings()})
    async with open_pipeline(alone, Metrics()) as analyzer:
        model = await _chosen(analyzer, work.options, settings.backend.default_model)
        # A newer version may be published meanwhile; all clips get the one that the manifest names.
        pinned = replace(work, options=replace(work.options, model=model.name, version=model.version))
        yield LocalEngine(analyzer, model, pinned, settings.workers.count)


async def _chosen(analyzer: Analyzer, options: AnalyzeOptions, default: str) -> ModelRef:
    info = await analyzer.model(options.model or default)
    if not info.servable:
        raise ModelNotServable(f"model {info.name!r} cannot be served: {info.reason}", stage="inference")
    version = options.version or info.versions[-1]
    if version not in info.versions:
        raise UnknownModel(f"model {info.name!r} has no version {version!r} (served: {', '.join(info.versions)})")
    return ModelRef(info.name, version, info.recipe, info.backend)
