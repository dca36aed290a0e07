"""The one interface to inference, whichever backend answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from server.predict.breaker import CircuitState
from server.types import Float32Array, ModelInfo, ReportWarning


class BackendWatch(Protocol):
    """Hears how the backend fares. Calls must not block."""

    def set_circuit(self, target: str, state: CircuitState) -> None:
        """Whether calls go through: for a model, by its name, or for all, `Circuits.CONNECTION`."""

    def count_retry(self, *, sent: bool) -> None:
        """A call that found no server was made again, or was not since the budget of retries is spent."""

    def set_replicas(self, *, answering: int, known: int) -> None:
        """How many servers the address of Triton stands for, and how many of them are not in doubt."""

    def count_fallback(self, model: str, reason: str) -> None:
        """The local copy of a model answered; `reason` as in `server.predict.fallback`."""


class _Unwatched:
    def set_circuit(self, target: str, state: CircuitState) -> None:
        """Nobody asks."""

    def count_retry(self, *, sent: bool) -> None:
        """Nobody asks."""

    def set_replicas(self, *, answering: int, known: int) -> None:
        """Nobody asks."""

    def count_fallback(self, model: str, reason: str) -> None:
        """Nobody asks."""


UNWATCHED: BackendWatch = _Unwatched()


class StandIn(dict[str, Float32Array]):
    """Outputs of another backend than the one that was asked: `backend` answered, and `warning` says why."""

    def __init__(self, outputs: Mapping[str, Float32Array], backend: str, warning: ReportWarning) -> None:
        super().__init__(outputs)
        self.backend = backend
        self.warning = warning


class Predictor(Protocol):
    """Inference of the models of one repository. Deadlines are `time.monotonic()` values."""

    backend: str

    async def models(self) -> Sequence[ModelInfo]:
        """Every model of the repository, servable or not, sorted by name. Raises `BackendUnavailable`."""
        ...

    async def model(self, name: str, version: str | None = None) -> ModelInfo:
        """One model; its `versions` run from the oldest to the newest, which answers unless another is asked for.

        Raises `UnknownModel` where the model, or `version` of it, is not there, and `BackendUnavailable`.
        """
        ...

    async def predict(
        self, model: str, inputs: Mapping[str, Float32Array], *, version: str | None = None, deadline: float
    ) -> Mapping[str, Float32Array]:
        """Run a batch: every input and output float32 [N, ...] with one N >= 1, split where N passes the model's
        `max_batch_size`.

        They are a `StandIn` where another backend answered. Raises `UnknownModel`, `BackendUnavailable`,
        `BackendFailed`, `DeadlineExceeded` (stage `inference`), and
        `ModelNotServable` when the inputs do not fit the contract.
        """
        ...

    async def probe(self, model: str) -> str:
        """Infer once on zeros of the contract's shapes: the only proof that the model answers.

        Empty, or, where the answer did not come from where it should, why not.
        Raises `UnknownModel`, `ModelNotServable`, `BackendUnavailable`, `BackendFailed`, `DeadlineExceeded`.
        """
        ...

    async def close(self) -> None:
        """Release sessions and connections."""
        ...
