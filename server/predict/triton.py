"""Inference by a Triton Inference Server over one gRPC channel."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from tritonclient.grpc import InferenceServerException
from tritonclient.grpc.aio import InferenceServerClient

from server.contract import ModelContract
from server.errors import BackendFailed, BackendUnavailable, DeadlineExceeded, ModelError
from server.predict.breaker import CircuitBreaker
from server.predict.catalogue import Catalogue, ModelEntry, entry_of, unservable
from server.predict.deadline import out_of_time, remaining_s
from server.predict.engine import Gpu
from server.predict.members import with_members_checked
from server.predict.repository import ModelRepository
from server.predict.tensors import batches, check_inputs, check_outputs, joined, zeros
from server.predict.triton_protocol import CHANNEL_OPTIONS, request_tensors, response_tensors, target, translated
from server.types import Float32Array, ModelInfo

_T = TypeVar("_T")
_CATALOGUE = "the model list"
_READY = "READY"
_OLD_ENOUGH_S = 1.0
_FAIR_CHANCE_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a call that found no server is tried in all, with pauses of random length up to
    `base_s * 2**n`, at most `longest_s`.
    """

    attempts: int = 3
    base_s: float = 0.05
    longest_s: float = 1.0

    def pause_s(self, failed: int) -> float:
        """The pause after the `failed`-th failure: random, so that gateways do not come back all at once."""
        return random.uniform(0.0, min(self.longest_s, self.base_s * 2.0 ** (failed - 1)))


class TritonPredictor:
    """Runs models at `address`, host:port of Triton's gRPC protocol or any gRPC target.

    `recipes` are the names of the recipes that this gateway can compute. `repository` gives the cards, which Triton
    does not serve. `gpu` is what the operator says of Triton's: a plan for another one is listed as not servable and
    not asked for. `credentials` encrypt the channel. What Triton has is asked again after `refresh_s`;
    `control_timeout_s` bounds asking and probing. Raises `ConfigurationError` for an address that cannot be one.
    """

    backend = "triton"

    def __init__(
        self,
        address: str,
        *,
        recipes: Collection[str],
        repository: ModelRepository | None = None,
        gpu: Gpu | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        retry: Retry | None = None,
        breaker: CircuitBreaker | None = None,
        refresh_s: float = 30.0,
        control_timeout_s: float = 5.0,
    ) -> None:
        self._target = target(address)
        self._recipes = recipes
        self._repository = repository
        self._gpu = gpu or Gpu()
        self._credentials = credentials
        self._retry = retry or Retry()
        self._breaker = breaker or CircuitBreaker()
        self._refresh_s = refresh_s
        self._control_timeout_s = control_timeout_s
        self._client: InferenceServerClient | None = None
        self._closed = False
        self._catalogue = Catalogue()
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def models(self) -> Sequence[ModelInfo]:
        """What Triton has at this moment, servable or not, sorted by name. Raises `BackendUnavailable`."""
        return (await self._described(older_than_s=0.0)).models()

    async def model(self, name: str, version: str | None = None) -> ModelInfo:
        """One model, with its versions oldest first. Raises `UnknownModel`, `BackendUnavailable`."""
        catalogue = await self._described(older_than_s=self._refresh_s)
        if name not in catalogue.entries:
            catalogue = await self._described(older_than_s=_OLD_ENOUGH_S)
        entry = catalogue.entry(name)
        if version is not None:
            entry.chosen(version)
        return entry.info

    async def predict(
        self, model: str, inputs: Mapping[str, Float32Array], *, version: str | None = None, deadline: float
    ) -> Mapping[str, Float32Array]:
        """Run a batch: inputs and outputs float32 [N, ...], split where N passes the model's `max_batch_size`.

        Triton is told the deadline, and of a cancellation. Raises `UnknownModel`, `ModelNotServable`,
        `BackendUnavailable`, `BackendFailed`, `DeadlineExceeded`.
        """
        asked_at = time.monotonic()
        entry = await self._entry(model, deadline, older_than_s=self._refresh_s)
        try:
            return await self._predict(entry, inputs, version, deadline)
        except ModelError:
            # What Triton has may have changed since it was asked: a version replaced, a model loaded at last.
            if self._fetched_at >= asked_at:
                raise
        entry = await self._entry(model, deadline, older_than_s=_OLD_ENOUGH_S)
        return await self._predict(entry, inputs, version, deadline)

    async def probe(self, model: str) -> None:
        """Infer once on zeros: Triton calls itself ready even where the process that runs the model is dead.

        Raises what `predict` raises where the model would not answer.
        """
        deadline = time.monotonic() + self._control_timeout_s
        entry = await self._entry(model, deadline, older_than_s=self._refresh_s)
        contract, _ = entry.servable(None)
        await self.predict(model, zeros(contract), deadline=deadline)

    async def close(self) -> None:
        """Close the channel; calls in flight end with `BackendUnavailable`."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _predict(
        self, entry: ModelEntry, inputs: Mapping[str, Float32Array], version: str | None, deadline: float
    ) -> Mapping[str, Float32Array]:
        contract, version = entry.servable(version)
        size = check_inputs(contract, inputs)
        parts = []
        for part in batches(inputs, size, entry.max_batch_size):
            outputs = await self._infer(contract, version, part, deadline)
            parts.append(check_outputs(contract, outputs, next(iter(part.values())).shape[0]))
        return joined(parts)

    async def _infer(
        self, contract: ModelContract, version: str, part: Mapping[str, Float32Array], deadline: float
    ) -> Mapping[str, Float32Array]:
        tensors, wanted = request_tensors(contract, part)

        async def call(client: InferenceServerClient, left_s: float) -> Any:
            return await client.infer(contract.name, tensors, version, wanted, client_timeout=left_s)

        result = await self._call(contract.name, call, deadline)
        return response_tensors(contract.name, result.get_response())

    async def _entry(self, model: str, deadline: float, *, older_than_s: float) -> ModelEntry:
        try:
            async with asyncio.timeout(remaining_s(model, deadline)):
                catalogue = await self._described(older_than_s=older_than_s)
                if model not in catalogue.entries:
                    catalogue = await self._described(older_than_s=_OLD_ENOUGH_S)
        except TimeoutError:
            raise out_of_time(model) from None
        return catalogue.entry(model)

    async def _described(self, *, older_than_s: float) -> Catalogue:
        """What Triton has, asked anew where the last answer is at least `older_than_s` old."""
        async with self._fetching:
            if time.monotonic() - self._fetched_at >= older_than_s:
                try:
                    self._catalogue = await self._fetch(time.monotonic() + self._control_timeout_s)
                except DeadlineExceeded as error:
                    raise BackendUnavailable(
                        "the inference server does not say what it has", stage="inference"
                    ) from error
                self._fetched_at = time.monotonic()
            return self._catalogue

    async def _fetch(self, deadline: float) -> Catalogue:
        async def call(client: InferenceServerClient, left_s: float) -> Any:
            return await client.get_model_repository_index(client_timeout=left_s)

        found: dict[str, list[Any]] = {}
        for row in (await self._call(_CATALOGUE, call, deadline)).models:
            found.setdefault(row.name, []).append(row)
        entries = {name: await self._describe(name, rows, deadline) for name, rows in found.items()}
        return Catalogue(with_members_checked(entries))

    async def _describe(self, name: str, rows: Sequence[Any], deadline: float) -> ModelEntry:
        versions = sorted((row.version for row in rows if row.state == _READY), key=int)
        card = (self._repository.card(name) or None) if self._repository else None

        async def call(client: InferenceServerClient, left_s: float) -> Any:
            return (await client.get_model_config(name, client_timeout=left_s)).config

        if versions:
            try:
                config = await self._call(name, call, deadline)
                entry = entry_of(config, versions=versions, recipes=self._recipes, backend=self.backend, card=card)
                misfit = self._misfit(entry)
                return entry.withdrawn(misfit) if misfit else entry
            except (ModelError, BackendFailed) as error:
                reason = error.message
        else:
            said = " ".join(row.reason for row in rows if row.reason).strip()
            own = self._repository.catalogue.entries.get(name) if self._repository else None
            # Of an ensemble that lacks a member Triton says nothing; the files tell.
            known = own.info.reason if own else ""
            reason = self._misfit(own) or (said.splitlines()[0] if said else known or "Triton has not loaded it")
        return ModelEntry(unservable(name, reason, backend=self.backend, card=card))

    def _misfit(self, entry: ModelEntry | None) -> str:
        engine = entry.contract.engine if entry and entry.contract else None
        return self._gpu.misfit(engine) if engine else ""

    async def _call(
        self, model: str, call: Callable[[InferenceServerClient, float], Awaitable[_T]], deadline: float
    ) -> _T:
        """Call Triton within the deadline, and again where no server was found."""
        failed = 0
        while True:
            try:
                return await self._attempt(model, call, remaining_s(model, deadline))
            except BackendUnavailable:
                failed += 1
                pause_s = self._retry.pause_s(failed)
                useless = self._closed or self._breaker.is_open or time.monotonic() + pause_s >= deadline
                if useless or failed >= self._retry.attempts:
                    raise
            await asyncio.sleep(pause_s)

    async def _attempt(
        self, model: str, call: Callable[[InferenceServerClient, float], Awaitable[_T]], left_s: float
    ) -> _T:
        """Call Triton once, and tell the breaker what that says about the server."""
        client = self._connected()
        self._breaker.admit()
        try:
            answer = await call(client, left_s)
        except InferenceServerException as error:
            failure = translated(error, model)
            if not isinstance(failure, BackendUnavailable | DeadlineExceeded):
                self._breaker.succeeded()
            elif isinstance(failure, DeadlineExceeded) and left_s < _FAIR_CHANCE_S:
                # A call that had next to no time says nothing about the server.
                self._breaker.abandoned()
            else:
                self._count_failure(error)
            raise failure from error
        except asyncio.CancelledError:
            self._breaker.abandoned()
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                # Closing a channel looks like a cancellation to the calls on it, but nobody cancelled the caller.
                raise BackendUnavailable("the predictor was closed", stage="inference") from None
            raise
        self._breaker.succeeded()
        return answer

    def _connected(self) -> InferenceServerClient:
        if self._closed:
            raise BackendUnavailable("the predictor is closed", stage="inference")
        if self._client is None:
            self._client = InferenceServerClient(
                self._target, creds=self._credentials, channel_args=list(CHANNEL_OPTIONS)
            )
        return self._client

    def _count_failure(self, error: InferenceServerException) -> None:
        was_open = self._breaker.is_open
        self._breaker.failed()
        if self._breaker.is_open and not was_open:
            _log.warning("no calls to Triton at %s for a while: %s", self._target, error.message())
