"""Which model answers: what a caller asked for, or the default, with its contract."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from server.contract import ModelContract
from server.errors import ModelNotServable, UnknownModel
from server.predict.base import Predictor, StandIn
from server.predict.deadline import out_of_time
from server.recipes.registry import RECIPES
from server.spans import Span, Value, span
from server.types import Float32Array, ModelInfo, ModelRef


@dataclass(frozen=True, slots=True)
class Served:
    """A model that can be asked, in one version; `named` where the caller asked for just that one."""

    info: ModelInfo
    contract: ModelContract
    version: str
    named: bool = True

    @property
    def reference(self) -> ModelRef:
        """As reports and replies name it."""
        return ModelRef(self.info.name, self.version, self.info.recipe, self.info.backend)

    def answered(self, stand_in: StandIn) -> Served:
        """The same with the backend that did answer, and its warning."""
        warnings = (*self.info.warnings, stand_in.warning)
        return replace(self, info=replace(self.info, backend=stand_in.backend, warnings=warnings))


async def choose(predictor: Predictor, model: str, version: str | None, deadline: float | None = None) -> Served:
    """`version` of `model`, by default the newest.

    Raises `UnknownModel`, `BackendUnavailable`, `ModelNotServable` with the reason, and `DeadlineExceeded`.
    """
    try:
        async with asyncio.timeout_at(deadline):
            info = await predictor.model(model, version)
    except TimeoutError:
        raise out_of_time(model) from None
    if not info.servable:
        raise ModelNotServable(f"model {info.name!r} cannot be served: {info.reason}", stage="inference")
    contract = ModelContract.model_validate(info.contract)
    if contract.recipe not in RECIPES:
        raise ModelNotServable(
            f"model {info.name!r} wants recipe {contract.recipe!r}, which this gateway lacks", stage="recipes"
        )
    return Served(info, contract, version or info.versions[-1], named=version is not None)


async def ask(
    predictor: Predictor, served: Served, batch: Mapping[str, Float32Array], deadline: float
) -> tuple[Served, Mapping[str, Float32Array]]:
    """What answered, and the outputs for a batch, each float32 [N, ...].

    A version that was replaced since it was chosen gives way to its successor, where that is fed alike and the caller
    named none. Raises what `Predictor.predict` raises.
    """
    name = served.contract.name
    try:
        outputs = await predictor.predict(name, batch, version=served.version, deadline=deadline)
    except UnknownModel:
        if served.named:
            raise
        successor = await choose(predictor, name, None, deadline)
        if successor.version == served.version or _fed(successor.contract) != _fed(served.contract):
            raise
        served = successor
        outputs = await predictor.predict(name, batch, version=served.version, deadline=deadline)
    return (served.answered(outputs) if isinstance(outputs, StandIn) else served), outputs


def inference_span(served: Served, batch: int) -> AbstractContextManager[Span]:
    """The span of one call of a model for `batch` movements."""
    attributes: dict[str, Value] = {
        "glimpse.model": served.info.name,
        "glimpse.model_version": served.version,
        "glimpse.batch": batch,
    }
    return span("inference", {**attributes, "glimpse.backend": served.info.backend})


def _fed(contract: ModelContract) -> tuple[object, ...]:
    return contract.recipe, contract.flow, contract.inputs
