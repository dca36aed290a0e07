"""Inference by a Triton Inference Server over one gRPC channel."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import grpc
from tritonclient.grpc.aio import InferenceServerClient

from server.contract import ModelContract
from server.errors import BackendFailed, BackendUnavailable, DeadlineExceeded, ModelError, UnknownModel
from server.predict.base import UNWATCHED, BackendWatch
from server.predict.breaker import Circuits
from server.predict.catalogue import Catalogue, ModelEntry, entry_of, unservable
from server.predict.deadline import out_of_time, remaining_s
from server.predict.engine import Gpu
from server.predict.members import with_members_checked
from server.predict.repository import ModelRepository
from server.predict.retry import Retry, RetryBudget
from server.predict.tensors import batches, check_inputs, check_outputs, joined, zeros
from server.predict.triton_calls import TritonCalls
from server.predict.triton_protocol import CHANNEL_OPTIONS, NothingLoaded, request_tensors, response_tensors, target
from server.predict.triton_traced import infer_span
from server.types import Float32Array, ModelInfo

_CATALOGUE = "the model list"
_READY = "READY"
_CHANGING = {"LOADING", "UNLOADING"}
_OLD_ENOUGH_S = 1.0

_log = logging.getLogger(__name__)


class TritonPredictor:
    """Runs models at `address`, host:port of Triton's gRPC protocol or any gRPC target.

    `recipes` are the names of the recipes that this gateway can compute. `repository` gives the cards, which Triton
    does not serve. `gpu` is what the operator says of Triton's: a plan for another one is listed as not servable and
    not asked for. `credentials` encrypt the channel. What Triton has is asked again after `refresh_s`;
    `control_timeout_s` bounds asking and probing. `watch` is told of retries and circuits. Raises `ConfigurationError`
    for an address that cannot be one.
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
        budget: RetryBudget | None = None,
        circuits: Circuits | None = None,
        watch: BackendWatch = UNWATCHED,
        refresh_s: float = 30.0,
        control_timeout_s: float = 5.0,
    ) -> None:
        self._target = target(address)
        self._recipes = recipes
        self._repository = repository
        self._gpu = gpu or Gpu()
        self._credentials = credentials
        self._calls = TritonCalls(self._connected, watch=watch, retry=retry, budget=budget, circuits=circuits)
        self._refresh_s = refresh_s
        self._control_timeout_s = control_timeout_s
        self._client: InferenceServerClient | None = None
        self._catalogue = Catalogue()
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()
        self._unanswered_at = float("-inf")

    async def models(self) -> Sequence[ModelInfo]:
        """What Triton has at this moment, servable or not, sorted by name. Raises `BackendUnavailable`."""
        return (await self._asked(newer_than=time.monotonic())).models()

    async def model(self, name: str, version: str | None = None) -> ModelInfo:
        """One model, with its versions oldest first.

        Raises `UnknownModel`, and `BackendUnavailable` also where no call for it would be let through, so that nobody
        works on a request that cannot be answered.
        """
        self._calls.circuits.check(name)
        entry = _settled(await self._described(name, newer_than=time.monotonic() - self._refresh_s))
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
        entry = await self._entry(model, deadline, newer_than=asked_at - self._refresh_s)
        try:
            entry.servable(version)
        except ModelError:
            # What Triton has may have changed since it was asked: a model loaded at last, or a version.
            entry = await self._entry(model, deadline, newer_than=asked_at - _OLD_ENOUGH_S)
        _, chosen = entry.servable(version)
        try:
            return await self._predict(entry, chosen, inputs, deadline)
        except (UnknownModel, NothingLoaded):
            failed_at = time.monotonic()
        # Or a version replaced: what was known when it failed is of no use, however new.
        entry = await self._entry(model, deadline, newer_than=failed_at)
        _, chosen = entry.servable(version)
        return await self._predict(entry, chosen, inputs, deadline)

    async def probe(self, model: str) -> str:
        """Infer once on zeros: Triton calls itself ready even where the process that runs the model is dead.

        It goes through open circuits, and closes them where it is answered. Raises what `predict` raises where the
        model would not answer.
        """
        deadline = time.monotonic() + self._control_timeout_s
        if self._calls.circuits.connection.is_open:
            await self._calls.control(model, _is_ready, deadline, probing=True)
        known = self._catalogue.entries.get(model)
        if known is not None and known.info.servable:
            try:
                return await self._probe(known, deadline)
            except ModelError:
                _log.info("model %s is not what it was", model)
        return await self._probe(await self._entry(model, deadline, newer_than=time.monotonic()), deadline)

    async def _probe(self, entry: ModelEntry, deadline: float) -> str:
        contract, version = entry.servable(None)
        await self._infer(contract, version, zeros(contract), deadline, probing=True)
        return ""

    async def close(self) -> None:
        """Close the channel; calls in flight end with `BackendUnavailable`."""
        self._calls.closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _predict(
        self, entry: ModelEntry, version: str, inputs: Mapping[str, Float32Array], deadline: float
    ) -> Mapping[str, Float32Array]:
        contract, _ = entry.servable(version)
        size = check_inputs(contract, inputs)
        parts = [
            await self._infer(contract, version, part, deadline) for part in batches(inputs, size, entry.max_batch_size)
        ]
        return joined(parts)

    async def _infer(
        self,
        contract: ModelContract,
        version: str,
        part: Mapping[str, Float32Array],
        deadline: float,
        *,
        probing: bool = False,
    ) -> Mapping[str, Float32Array]:
        tensors, wanted = request_tensors(contract, part)

        async def call(client: InferenceServerClient, left_s: float) -> Any:
            with infer_span(probing=probing) as headers:
                return await client.infer(
                    contract.name, tensors, version, wanted, client_timeout=left_s, headers=headers
                )

        result = await self._calls.infer(contract.name, call, deadline, probing=probing)
        outputs = response_tensors(contract.name, result.get_response())
        return check_outputs(contract, outputs, next(iter(part.values())).shape[0])

    async def _entry(self, model: str, deadline: float, *, newer_than: float) -> ModelEntry:
        try:
            async with asyncio.timeout(remaining_s(model, deadline)):
                return _settled(await self._described(model, newer_than=newer_than))
        except TimeoutError:
            raise out_of_time(model) from None

    async def _described(self, model: str, *, newer_than: float) -> ModelEntry:
        catalogue = await self._asked(newer_than=newer_than)
        if model not in catalogue.entries or catalogue.entries[model].changing:
            catalogue = await self._asked(newer_than=time.monotonic() - _OLD_ENOUGH_S)
        return catalogue.entry(model)

    async def _asked(self, *, newer_than: float) -> Catalogue:
        """What Triton has, asked anew where the last answer is not newer than `newer_than`."""
        asked_at = time.monotonic()
        async with self._fetching:
            if self._unanswered_at >= asked_at:
                # Who waited for somebody else's question does not wait for the same silence again.
                raise _unanswered()
            if self._fetched_at <= newer_than:
                try:
                    self._catalogue = await self._fetch(time.monotonic() + self._control_timeout_s)
                except DeadlineExceeded as error:
                    self._unanswered_at = time.monotonic()
                    raise _unanswered() from error
                self._fetched_at = time.monotonic()
            return self._catalogue

    async def _fetch(self, deadline: float) -> Catalogue:
        async def call(client: InferenceServerClient, left_s: float) -> Any:
            return await client.get_model_repository_index(client_timeout=left_s)

        found: dict[str, list[Any]] = {}
        for row in (await self._calls.control(_CATALOGUE, call, deadline)).models:
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
                config = await self._calls.control(name, call, deadline)
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
        entry = ModelEntry(unservable(name, reason, backend=self.backend, card=card))
        return replace(entry, changing=not versions and any(row.state in _CHANGING for row in rows))

    def _misfit(self, entry: ModelEntry | None) -> str:
        engine = entry.contract.engine if entry and entry.contract else None
        return self._gpu.misfit(engine) if engine else ""

    def _connected(self) -> InferenceServerClient:
        if self._calls.closed:
            raise BackendUnavailable("the predictor is closed", stage="inference")
        if self._client is None:
            self._client = InferenceServerClient(
                self._target, creds=self._credentials, channel_args=list(CHANNEL_OPTIONS)
            )
        return self._client


async def _is_ready(client: InferenceServerClient, left_s: float) -> bool:
    return bool(await client.is_server_ready(client_timeout=left_s))


def _unanswered() -> BackendUnavailable:
    return BackendUnavailable("the inference server does not say what it has", stage="inference")


def _settled(entry: ModelEntry) -> ModelEntry:
    """Raises `BackendUnavailable` for a model that Triton is loading or unloading at this moment."""
    if entry.changing:
        raise BackendUnavailable(f"model {entry.info.name!r} is being loaded", stage="inference", retry_after_s=1.0)
    return entry
