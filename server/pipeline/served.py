"""Which model answers: what a caller asked for, or the default, with its contract."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from server.contract import ModelContract
from server.errors import ModelNotServable
from server.predict.base import Predictor, StandIn
from server.predict.deadline import out_of_time
from server.recipes.registry import RECIPES
from server.types import ModelInfo, ModelRef


@dataclass(frozen=True, slots=True)
class Served:
    """A model that can be asked, in one version."""

    info: ModelInfo
    contract: ModelContract
    version: str

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
    return Served(info, contract, version or info.versions[-1])
