"""Inference by Triton Inference Servers over gRPC."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import grpc
from tritonclient.grpc.aio import InferenceServerClient

from server.contract import ModelContract
from server.errors import BackendUnavailable, DeadlineExceeded, GlimpseError, ModelError, UnknownModel
from server.predict.base import UNWATCHED, BackendWatch
from server.predict.breaker import Circuits
from server.predict.catalogue import Catalogue, ModelEntry
from server.predict.deadline import out_of_time, remaining_s
from server.predict.engine import Gpu
from server.predict.repository import ModelRepository
from server.predict.retry import Retry, RetryBudget
from server.predict.tensors import batches, check_inputs, check_outputs, joined, zeros
from server.predict.triton_addresses import Addresses
from server.predict.triton_calls import TritonCalls
from server.predict.triton_catalogue import BACKEND, TritonCatalogue, merged
from server.predict.triton_protocol import NothingLoaded, request_tensors, response_tensors
from server.predict.triton_replicas import Replica
from server.predict.triton_traced import infer_span
from server.types import Float32Array, ModelInfo

_OLD_ENOUGH_S = 1.0
_SHARE_OF_ONE = 0.45
"""Of the time for control calls, what one of several servers gets: asking what there is and a probe fit into it."""

_log = logging.getLogger(__name__)


class TritonPredictor:
    """Runs models at `address`, host:port of Triton's gRPC protocol or any gRPC target; several with commas between.

    A name may stand for several servers. Each has circuits of its own, and a call goes to one that has the model
    (`server.predict.triton_replicas`).

    `recipes` are the names of the recipes that this gateway can compute. `repository` gives the cards, which Triton
    does not serve. `gpu` is what the operator says of Triton's: a plan for another one is listed as not servable and
    not asked for. `credentials` encrypt the channel. What Triton has is asked again after `refresh_s`;
    `control_timeout_s` bounds asking and probing. `watch` is told of retries and circuits. Raises `ConfigurationError`
    for an address that cannot be one.
    """

    backend = BACKEND

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
        self._calls = TritonCalls(
            Addresses(address), watch=watch, credentials=credentials, retry=retry, budget=budget, circuits=circuits
        )
        self._replicas = self._calls.replicas
        self._asking = TritonCatalogue(self._calls, recipes=recipes, repository=repository, gpu=gpu or Gpu())
        self._refresh_s = refresh_s
        self._control_timeout_s = control_timeout_s
        self._catalogue = Catalogue()
        self._news = 0
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
        self._replicas.check(name)
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
        """Infer once on zeros, on every server at once: Triton calls itself ready even where the process that runs
        the model is dead. One that answers is enough.

        It goes through open circuits, and closes them where it is answered. Raises what `predict` raises where no
        server would answer.
        """
        await self._replicas.find()
        replicas = list(self._replicas.all)
        deadline = time.monotonic() + self._patience_s()
        found = await asyncio.gather(
            *(self._probe_at(replica, model, deadline) for replica in replicas), return_exceptions=True
        )
        problems = [problem for problem in found if isinstance(problem, BaseException)]
        if len(problems) == len(found) or not all(isinstance(problem, GlimpseError) for problem in problems):
            raise problems[0]
        return ""

    async def _probe_at(self, replica: Replica, model: str, deadline: float) -> None:
        if replica.circuits.connection.is_open:
            await self._calls.control(model, _is_ready, deadline, at=replica, probing=True)
        known = replica.catalogue.entries.get(model) if replica.catalogue else None
        if known is not None and known.info.servable:
            try:
                return await self._probe(replica, known, deadline)
            except ModelError:
                _log.info("model %s is not what it was", model)
        # Who was away is not asked what it has before it answers; what the others have will do for that.
        age_s = 0.0 if replica.catalogue else self._refresh_s
        told = await self._entry(model, deadline, newer_than=time.monotonic() - age_s)
        own = replica.catalogue.entries.get(model) if replica.catalogue else None
        return await self._probe(replica, own or told, deadline)

    async def _probe(self, replica: Replica, entry: ModelEntry, deadline: float) -> None:
        contract, version = entry.servable(None)
        await self._infer(contract, version, zeros(contract), deadline, among=(replica,), probing=True)

    async def close(self) -> None:
        """Close the channels; calls in flight end with `BackendUnavailable`."""
        await self._replicas.close()

    async def _predict(
        self, entry: ModelEntry, version: str, inputs: Mapping[str, Float32Array], deadline: float
    ) -> Mapping[str, Float32Array]:
        contract, _ = entry.servable(version)
        size = check_inputs(contract, inputs)
        among = self._replicas.holding(contract.name, version, contract)
        parts = [
            await self._infer(contract, version, part, deadline, among=among)
            for part in batches(inputs, size, entry.max_batch_size)
        ]
        return joined(parts)

    async def _infer(
        self,
        contract: ModelContract,
        version: str,
        part: Mapping[str, Float32Array],
        deadline: float,
        *,
        among: Collection[Replica],
        probing: bool = False,
    ) -> Mapping[str, Float32Array]:
        tensors, wanted = request_tensors(contract, part)

        async def call(client: InferenceServerClient, left_s: float) -> Any:
            with infer_span(probing=probing) as headers:
                return await client.infer(
                    contract.name, tensors, version, wanted, client_timeout=left_s, headers=headers
                )

        result = await self._calls.infer(contract.name, call, deadline, among=among, probing=probing)
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
            others = len(self._replicas.all) > 1 and self._news != self._replicas.news
            if self._fetched_at <= newer_than or others:
                try:
                    self._catalogue = await self._fetch()
                except DeadlineExceeded as error:
                    self._unanswered_at = time.monotonic()
                    raise _unanswered() from error
                self._fetched_at = time.monotonic()
            return self._catalogue

    async def _fetch(self) -> Catalogue:
        """Of every server that is not in doubt; one that answers is enough, and the others are not asked for models."""
        await self._replicas.find()
        news, replicas = self._replicas.news, self._replicas.trusted()
        deadline = time.monotonic() + self._patience_s()
        found = await asyncio.gather(
            *(self._asking.of(replica, deadline) for replica in replicas), return_exceptions=True
        )
        for problem in found:
            if isinstance(problem, BaseException) and not isinstance(problem, GlimpseError):
                raise problem
        told = [catalogue for catalogue in found if isinstance(catalogue, Catalogue)]
        if not told:
            raise next(problem for problem in found if isinstance(problem, GlimpseError))
        for replica in self._replicas.all:
            replica.catalogue = None
        for replica, catalogue in zip(replicas, found, strict=True):
            replica.catalogue = catalogue if isinstance(catalogue, Catalogue) else None
        self._news = news
        return merged(told)

    def _patience_s(self) -> float:
        """How long one server is waited for that is asked what it has, or whether it answers."""
        return self._control_timeout_s * (_SHARE_OF_ONE if len(self._replicas.all) > 1 else 1.0)

    def _connected(self) -> InferenceServerClient:
        return self._replicas.all[0].client()


async def _is_ready(client: InferenceServerClient, left_s: float) -> bool:
    return bool(await client.is_server_ready(client_timeout=left_s))


def _unanswered() -> BackendUnavailable:
    return BackendUnavailable("the inference server does not say what it has", stage="inference")


def _settled(entry: ModelEntry) -> ModelEntry:
    """Raises `BackendUnavailable` for a model that Triton is loading or unloading at this moment."""
    if entry.changing:
        raise BackendUnavailable(f"model {entry.info.name!r} is being loaded", stage="inference", retry_after_s=1.0)
    return entry
