"""Stand-ins for tests of whatever is built on the service."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from server.contract import PROBABILITIES, ModelContract
from server.errors import GlimpseError
from server.predict.catalogue import Catalogue, ModelEntry
from server.predict.deadline import remaining_s
from server.predict.tensors import check_inputs, zeros
from server.spotting.signal import MotionSignal
from server.types import Float32Array, Float64Array, ModelInfo


def still_head(times_s: Float64Array, displacement: Float32Array, first_frame: int = 0) -> MotionSignal:
    """The signal of a face whose regions move by `displacement` [T, R, 2], IOD, while the head holds still."""
    frames = len(times_s)
    return MotionSignal(
        frames=np.arange(frames) + first_frame,
        times_s=times_s,
        displacement=displacement.astype(np.float32),
        unsteady=np.zeros(frames, dtype=np.bool_),
        turn=np.zeros((frames, 2), dtype=np.float32),
    )


@dataclass(frozen=True, slots=True)
class Call:
    """One inference that was asked for."""

    model: str
    inputs: Mapping[str, Float32Array]
    version: str | None
    deadline: float


@dataclass
class FakePredictor:
    """A predictor without networks: it checks inputs like the real ones and gives every sample the same answer.

    `contracts` are the models, each with the one version "1". `probabilities` is the answer, one value per label; by
    default the first label gets 0.8 and the others share the rest. Further outputs are 0. While `error` is set,
    every call but `close` raises it. `calls` records what reached `predict`.
    """

    contracts: Sequence[ModelContract]
    probabilities: Sequence[float] | None = None
    error: GlimpseError | None = None
    calls: list[Call] = field(default_factory=list)
    closed: bool = False
    backend: str = "fake"

    async def models(self) -> Sequence[ModelInfo]:
        """Every model, sorted by name."""
        self._fail()
        return self._catalogue().models()

    async def model(self, name: str, version: str | None = None) -> ModelInfo:
        """One model. Raises `UnknownModel`."""
        self._fail()
        entry = self._catalogue().entry(name)
        entry.chosen(version)
        return entry.info

    async def predict(
        self, model: str, inputs: Mapping[str, Float32Array], *, version: str | None = None, deadline: float
    ) -> Mapping[str, Float32Array]:
        """The same answer for each sample. Raises `UnknownModel`, `ModelNotServable`, `DeadlineExceeded`."""
        self.calls.append(Call(model, dict(inputs), version, deadline))
        self._fail()
        contract, _ = self._catalogue().entry(model).servable(version)
        size = check_inputs(contract, inputs)
        remaining_s(model, deadline)
        outputs = {spec.name: np.zeros((size, *spec.dims), dtype=np.float32) for spec in contract.outputs}
        outputs[PROBABILITIES][:] = self._answer(len(contract.labels))
        return outputs

    async def probe(self, model: str) -> str:
        """Infer once on zeros; recorded like any call."""
        self._fail()
        contract, _ = self._catalogue().entry(model).servable(None)
        await self.predict(model, zeros(contract), deadline=time.monotonic() + 1.0)
        return ""

    async def close(self) -> None:
        """Set `closed`."""
        self.closed = True

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error

    def _answer(self, labels: int) -> Sequence[float]:
        if self.probabilities is not None:
            return self.probabilities
        return [0.8, *[0.2 / (labels - 1)] * (labels - 1)]

    def _catalogue(self) -> Catalogue:
        return Catalogue({contract.name: self._entry(contract) for contract in self.contracts})

    def _entry(self, contract: ModelContract) -> ModelEntry:
        info = ModelInfo(
            name=contract.name,
            versions=("1",),
            recipe=contract.recipe,
            labels=contract.labels,
            backend=self.backend,
            servable=True,
            contract=contract.model_dump(mode="json"),
        )
        return ModelEntry(info, contract, max_batch_size=64)
