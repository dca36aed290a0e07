"""Calls to Triton within their deadline: made again elsewhere, or later, where no server was found; held back where
nothing answers.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

import grpc
from tritonclient.grpc import InferenceServerException
from tritonclient.grpc.aio import InferenceServerClient

from server.errors import BackendFailed, BackendUnavailable, DeadlineExceeded
from server.predict.base import BackendWatch
from server.predict.breaker import Circuits, CircuitState
from server.predict.deadline import remaining_s
from server.predict.retry import Retry, RetryBudget
from server.predict.triton_addresses import Addresses
from server.predict.triton_protocol import names_model, translated
from server.predict.triton_replicas import Replica, Replicas
from server.spans import current

_T = TypeVar("_T")
_Call = Callable[[InferenceServerClient, float], Awaitable[_T]]
_FAIR_CHANCE_S = 1.0

_log = logging.getLogger(__name__)


class TritonCalls:
    """The calls of one predictor to the servers behind `addresses`."""

    def __init__(
        self,
        addresses: Addresses,
        *,
        watch: BackendWatch,
        credentials: grpc.ChannelCredentials | None = None,
        retry: Retry | None = None,
        budget: RetryBudget | None = None,
        circuits: Circuits | None = None,
    ) -> None:
        self._watch = watch
        self._retry = retry or Retry()
        self._budget = budget or RetryBudget()
        self.replicas = Replicas(addresses, watch=watch, told=self._changed, credentials=credentials, circuits=circuits)

    async def control(self, about: str, call: _Call[_T], deadline: float, *, at: Replica, probing: bool = False) -> _T:
        """A call that asks the server `at`, not a model; `about` names it in errors. Otherwise as `infer`."""
        return await self._within(about, "", call, deadline, (at,), probing=probing)

    async def infer(
        self,
        model: str,
        call: _Call[_T],
        deadline: float,
        *,
        among: Collection[Replica] = (),
        probing: bool = False,
    ) -> _T:
        """A call for a model that exists, by one of the servers `among`, by any where there are none.

        A server that cannot be reached costs nothing where another one is left: that is asked at once. When all of them
        were asked, it is tried again after a pause, out of the budget. One that is `probing` goes through open
        circuits, is not tried again, and what it finds closes or opens them.

        Raises `BackendUnavailable`, `BackendFailed`, `DeadlineExceeded`, `UnknownModel`, `ModelNotServable`.
        """
        return await self._within(model, model, call, deadline, among, probing=probing)

    async def _within(
        self,
        about: str,
        model: str,
        call: _Call[_T],
        deadline: float,
        among: Collection[Replica],
        *,
        probing: bool,
    ) -> _T:
        failed = 0
        tried: list[Replica] = []
        self._budget.called()
        while True:
            pause_s = 0.0
            try:
                await self.replicas.find()
                replica = self.replicas.pick(model, among, tried)
                tried.append(replica)
                return await self._attempt(about, model, call, remaining_s(about, deadline), replica, probing=probing)
            except BackendUnavailable:
                if probing or self.replicas.closed:
                    raise
                if self.replicas.left(model, among, tried):
                    self._watch.count_retry(sent=True)
                    continue
                tried.clear()
                failed += 1
                pause_s = self._retry.pause_s(failed)
                useless = not any(known.circuits.closed(model) for known in among or self.replicas.all)
                if useless or failed >= self._retry.attempts or time.monotonic() + pause_s >= deadline:
                    raise
                paid = self._budget.take()
                self._watch.count_retry(sent=paid)
                current().event("retry", {"glimpse.retry.sent": paid})
                if not paid:
                    raise
            await asyncio.sleep(pause_s)

    async def _attempt(
        self, about: str, model: str, call: _Call[_T], left_s: float, replica: Replica, *, probing: bool
    ) -> _T:
        """Call one Triton once, and tell its circuits what that says."""
        client, circuits = replica.client(), replica.circuits
        if not probing:
            circuits.admit(model)
        calling = asyncio.ensure_future(call(client, left_s))
        replica.under_way.add(calling)
        try:
            answer = await calling
        except InferenceServerException as error:
            failure = translated(error, about)
            if isinstance(failure, DeadlineExceeded):
                if left_s < _FAIR_CHANCE_S:
                    # A call that had next to no time says nothing about the server.
                    circuits.abandoned(model)
                else:
                    circuits.silent(model)
                    if model:
                        self.replicas.failing(replica, model)
                    if probing or not model:
                        self.replicas.away(replica)
            elif isinstance(failure, BackendUnavailable) and not names_model(error, about):
                circuits.unreachable(model)
                self.replicas.away(replica)
            else:
                circuits.answered(model)
                self.replicas.answered(replica, "")
                if isinstance(failure, BackendFailed):
                    self.replicas.failing(replica, model)
            raise failure from error
        except asyncio.CancelledError:
            circuits.abandoned(model)
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                # Closing a channel looks like a cancellation to the calls on it, as does leaving a server that hangs,
                # but nobody cancelled the caller.
                what = "predictor was closed" if self.replicas.closed else "inference server stands still"
                raise BackendUnavailable(f"the {what}", stage="inference") from None
            raise
        finally:
            replica.under_way.discard(calling)
        circuits.answered(model)
        self.replicas.answered(replica, model)
        return answer

    def _changed(self, target: str, state: CircuitState) -> None:
        self._watch.set_circuit(target, state)
        current().event("circuit", {"glimpse.circuit.target": target, "glimpse.circuit.state": state})
        if state != "trying":
            _log.warning("a circuit to Triton changed", extra={"target": target, "state": state})
