"""Which model answers: what a caller asked for, or the default, with its contract."""

from __future__ import annotations

from dataclasses import dataclass

from server.contract import ModelContract
from server.errors import ModelNotServable
from server.predict.base import Predictor
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


async def choose(predictor: Predictor, model: str, version: str | None) -> Served:
    """`version` of `model`, by default the newest.

    Raises `UnknownModel`, `BackendUnavailable`, and `ModelNotServable` with the reason.
    """
    info = await predictor.model(model, version)
    if not info.servable:
        raise ModelNotServable(f"model {info.name!r} cannot be served: {info.reason}", stage="inference")
    contract = ModelContract.model_validate(info.contract)
    if contract.recipe not in RECIPES:
        raise ModelNotServable(
            f"model {info.name!r} wants recipe {contract.recipe!r}, which this gateway lacks", stage="recipes"
        )
    return Served(info, contract, version or info.versions[-1])
