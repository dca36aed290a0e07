"""Clips analysed for the command line: in this process, or by a running service."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError

from client import Tls
from server.api.rest.options import AnalyzeParameters, refusal
from server.pipeline.base import Analyzer, OnProgress, abstains_below
from server.pipelines import open_pipeline, open_predictor
from server.remote import RemoteProblem, RemoteService
from server.settings import Settings
from server.settings.shadow import ShadowSettings
from server.telemetry.metrics import Metrics
from server.types import AnalyzeOptions, ModelInfo, Progress, Report

# Nobody else waits while a person runs a command, so long clips may take their time.
_DEADLINE_S = 24 * 3600.0


class Analysis(Protocol):
    """Clips are analysed one after the other, with the same options. Every call raises any `GlimpseError`."""

    async def analyze(self, clip: bytes, on_progress: OnProgress) -> Report:
        """Find and classify the expressions of a clip."""
        ...

    async def annotate(self, clip: bytes, report: Report, slow: float, on_progress: OnProgress) -> bytes:
        """What its report says drawn into the clip, events `slow` times slower, as MP4."""
        ...

    async def threshold(self, report: Report) -> float | None:
        """The confidence below which the model of a report abstains, None where it is not known."""
        ...


@dataclass(frozen=True)
class _Here:
    """In this process."""

    analyzer: Analyzer
    options: AnalyzeOptions

    async def analyze(self, clip: bytes, on_progress: OnProgress) -> Report:
        return await self.analyzer.analyze(
            clip, self.options, request_id=uuid.uuid4().hex, deadline=_deadline(), on_progress=on_progress
        )

    async def annotate(self, clip: bytes, report: Report, slow: float, on_progress: OnProgress) -> bytes:
        return await self.analyzer.annotate(clip, report, slow, deadline=_deadline(), on_progress=on_progress)

    async def threshold(self, report: Report) -> float | None:
        return abstains_below(await self.analyzer.model(report.model.name), report.model.version)


@dataclass(frozen=True)
class _There:
    """By a running service."""

    service: RemoteService
    options: AnalyzeOptions

    async def analyze(self, clip: bytes, on_progress: OnProgress) -> Report:
        return await self.service.analyze(clip, self.options, on_progress)

    async def annotate(self, clip: bytes, report: Report, slow: float, on_progress: OnProgress) -> bytes:
        on_progress(Progress("annotation", 0, report.clip.frames))
        return await self.service.annotate(clip, self.options, slow)

    async def threshold(self, report: Report) -> float | None:
        try:
            return abstains_below(await self.service.model(report.model.name), report.model.version)
        except RemoteProblem:
            # Whoever may analyse need not be allowed to look at models.
            return None


@asynccontextmanager
async def open_analysis(
    url: str | None, settings: Settings, given: dict[str, str], tls: Tls | None = None
) -> AsyncIterator[Analysis]:
    """Analyses with the options `given`; `tls` is for the service at `url`.

    Raises `OptionError`, `ConfigurationError`.
    """
    options = options_of(given)
    if url is not None:
        async with RemoteService(url, settings.client, tls) as service:
            yield _There(service, options)
        return
    # What a shadow model would say is for metrics, and nobody reads those of a command.
    alone = settings.model_copy(update={"shadow": ShadowSettings()})
    async with open_pipeline(alone, Metrics()) as analyzer:
        yield _Here(analyzer, options)


def _deadline() -> float:
    return time.monotonic() + _DEADLINE_S


def options_of(given: dict[str, str]) -> AnalyzeOptions:
    """What was given on the command line, as REST would take it. Raises `OptionError`."""
    try:
        return AnalyzeParameters.model_validate(given).options()
    except ValidationError as error:
        raise refusal(error) from None


async def list_models(url: str | None, settings: Settings, tls: Tls | None = None) -> Sequence[ModelInfo]:
    """What can be asked, here or of the service at `url`. Raises any `GlimpseError`."""
    if url is not None:
        async with RemoteService(url, settings.client, tls) as service:
            return await service.models()
    async with open_predictor(settings) as predictor:
        return await predictor.models()
