"""Models that other predictors answer for, beside those of the backend."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from server.predict.base import Predictor
from server.types import Float32Array, ModelInfo


class BesidePredictor:
    """The models of `main`, and one of each of `others`, by its name; a model of `main` that is called alike is hidden.

    What goes wrong with one of `others` concerns nobody else.
    """

    def __init__(self, main: Predictor, others: Mapping[str, Predictor]) -> None:
        self.backend = main.backend
        self._main = main
        self._others = others

    async def models(self) -> Sequence[ModelInfo]:
        """All of them, sorted by name. Raises what `main` raises."""
        listed = [info for info in await self._main.models() if info.name not in self._others]
        listed += [await other.model(name) for name, other in self._others.items()]
        return sorted(listed, key=lambda info: info.name)

    async def model(self, name: str, version: str | None = None) -> ModelInfo:
        """One model, by whoever answers for it. Raises `UnknownModel`, `BackendUnavailable`."""
        return await self._for(name).model(name, version)

    async def predict(
        self, model: str, inputs: Mapping[str, Float32Array], *, version: str | None = None, deadline: float
    ) -> Mapping[str, Float32Array]:
        """Run a batch, inputs and outputs float32 [N, ...]. Raises what the model's predictor raises."""
        return await self._for(model).predict(model, inputs, version=version, deadline=deadline)

    async def probe(self, model: str) -> str:
        """Raises what the model's predictor raises."""
        return await self._for(model).probe(model)

    async def close(self) -> None:
        """Release what all of them hold."""
        await asyncio.gather(self._main.close(), *(other.close() for other in self._others.values()))

    def _for(self, name: str) -> Predictor:
        return self._others.get(name, self._main)
