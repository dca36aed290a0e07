"""Clips analysed for the command line: in this process, or by a running service."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from pydantic import ValidationError

from client import Tls
from server.api.rest.options import AnalyzeParameters, refusal
from server.pipeline.base import OnProgress
from server.pipelines import open_pipeline, open_predictor
from server.remote import RemoteService
from server.settings import Settings
from server.settings.shadow import ShadowSettings
from server.telemetry.metrics import Metrics
from server.types import AnalyzeOptions, ModelInfo, Report

# Nobody else waits while a person runs a command, so long clips may take their time.
_DEADLINE_S = 24 * 3600.0

Analysis = Callable[[bytes, OnProgress], Awaitable[Report]]


@asynccontextmanager
async def open_analysis(
    url: str | None, settings: Settings, given: dict[str, str], tls: Tls | None = None
) -> AsyncIterator[Analysis]:
    """A function that analyses one clip after the other with the options `given`; `tls` is for the service at `url`.

    Raises `OptionError`, `ConfigurationError`; the function raises any `GlimpseError`.
    """
    options = options_of(given)
    if url is not None:
        async with RemoteService(url, settings.client, tls) as service:
            yield lambda clip, on_progress: service.analyze(clip, options, on_progress)
        return
    # What a shadow model would say is for metrics, and nobody reads those of a command.
    alone = settings.model_copy(update={"shadow": ShadowSettings()})
    async with open_pipeline(alone, Metrics()) as analyzer:

        def analyze(clip: bytes, on_progress: OnProgress) -> Awaitable[Report]:
            return analyzer.analyze(
                clip,
                options,
                request_id=uuid.uuid4().hex,
                deadline=time.monotonic() + _DEADLINE_S,
                on_progress=on_progress,
            )

        yield analyze


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
