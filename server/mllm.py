"""From settings to the model `mllm`: listed always, asked only where an operator has configured and consented."""

from __future__ import annotations

from pathlib import Path

from server.errors import ConfigurationError
from server.flow.contraction import FULL_MOTION
from server.predict.base import Predictor
from server.predict.beside import BesidePredictor
from server.predict.mllm import RECIPE, MllmOptions, MllmPredictor, absent_entry, servable_entry
from server.predict.mllm_budget import Allowance, Budget
from server.predict.mllm_client import Endpoint, MllmClient
from server.recipes.registry import RECIPES
from server.settings.group import variable
from server.settings.mllm import MLLM, MllmSettings
from server.spotting.signal import REGIONS


def with_mllm(predictor: Predictor, settings: MllmSettings) -> Predictor:
    """`predictor` with the model `mllm` beside its own. Raises `ConfigurationError` for a key that cannot be read."""
    return BesidePredictor(predictor, {MLLM: _mllm(settings)})


def _mllm(settings: MllmSettings) -> MllmPredictor:
    options = MllmOptions(
        model=settings.model,
        regions=REGIONS,
        deadline_s=settings.deadline_seconds,
        clips=settings.concurrency,
        events_per_clip=settings.events_per_clip,
        repeats=settings.repeats,
        image_px=settings.image_px,
        flow_picture=settings.flow_picture,
        confidence_cap=settings.confidence_cap,
    )
    wanted = {"base_url": settings.base_url, "model": settings.model, "send_faces": settings.send_faces}
    missing = [variable(MLLM, name) for name, given in wanted.items() if not given]
    if missing:
        reason = f"not configured: set {', '.join(missing)} (pictures of faces would leave this machine; docs/mllm.md)"
        return MllmPredictor(absent_entry(reason), options)
    budget = Budget(
        Allowance(
            requests_per_hour=settings.requests_per_hour,
            tokens_per_day=settings.tokens_per_day,
            day_usd=settings.day_usd,
            input_million_tokens_usd=settings.input_million_tokens_usd,
            output_million_tokens_usd=settings.output_million_tokens_usd,
        )
    )
    endpoint = Endpoint(settings.base_url, settings.model, _key(settings))
    client = MllmClient(endpoint, budget, concurrency=settings.concurrency)
    entry = servable_entry(RECIPES[RECIPE].dims, REGIONS, sorted(FULL_MOTION), settings.model)
    return MllmPredictor(entry, options, client, budget)


def _key(settings: MllmSettings) -> str:
    if not settings.api_key_file:
        return settings.api_key.get_secret_value()
    name = variable(MLLM, "api_key_file")
    try:
        key = Path(settings.api_key_file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not ASCII text"
        raise ConfigurationError(f"{name}: {settings.api_key_file} cannot be read: {why}") from None
    if not key or not all("\x21" <= character <= "\x7e" for character in key):
        raise ConfigurationError(f"{name}: {settings.api_key_file} holds no key, or one with blanks")
    return key
