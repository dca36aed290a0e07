"""Calls to Triton within their deadline: tried again where no server was found, held back where nothing answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tritonclient.grpc import InferenceServerException
from tritonclient.grpc.aio import InferenceServerClient

from server.errors import BackendUnavailable, DeadlineExceeded
from server.predict.base import BackendWatch
from server.predict.breaker import Circuits, CircuitState
from server.predict.deadline import remaining_s
from server.predict.retry import Retry, RetryBudget
from server.predict.triton_protocol import names_model, translated
from server.spans import current

_T = TypeVar("_T")
_FAIR_CHANCE_S = 1.0

_log = logging.getLogger(__name__)


class TritonCalls:
    """The calls of one predictor; `connect` gives the channel, or raises `BackendUnavailable` where it is closed."""

    def __init__(
        self,
        connect: Callable[[], InferenceServerClient],
        *,
        watch: BackendWatch,
        retry: Retry | None = None,
        budget: RetryBudget | None = None,
        circuits: Circuits | None = None,
    ) -> None:
        self._connect = connect
        self._watch = watch
        self._retry = retry or Retry()
        self._budget = budget or RetryBudget()
        self.circuits = circuits or Circuits(told=self._changed)
        self.closed = False

    async def control(
        self,
        about: str,
        call: Callable[[InferenceServerClient, float], Awaitable[_T]],
        deadline: float,
        *,
        probing: bool = False,
    ) -> _T:
        """A call that asks the server, not a model; `about` names it in errors. Otherwise as `infer`."""
        return await self._within(about, "", call, deadline, probing=probing)

    async def infer(
        self,
        model: str,
        call: Callable[[InferenceServerClient, float], Awaitable[_T]],
        deadline: float,
        *,
        probing: bool = False,
    ) -> _T:
        """A call for a model that exists. One that is `probing` goes through open circuits, is not tried again, and
        what it finds closes or opens them.

        Raises `BackendUnavailable`, `BackendFailed`, `DeadlineExceeded`, `UnknownModel`, `ModelNotServable`.
        """
        return await self._within(model, model, call, deadline, probing=probing)

    async def _within(
        self,
        about: str,
        model: str,
        call: Callable[[InferenceServerClient, float], Awaitable[_T]],
        deadline: float,
        *,
        probing: bool,
    ) -> _T:
        failed = 0
        self._budget.called()
        while True:
            try:
                return await self._attempt(about, model, call, remaining_s(about, deadline), probing=probing)
            except BackendUnavailable:
                failed += 1
                pause_s = self._retry.pause_s(failed)
                useless = probing or self.closed or not self.circuits.closed(model)
                if useless or failed >= self._retry.attempts or time.monotonic() + pause_s >= deadline:
                    raise
                paid = self._budget.take()
                self._watch.count_retry(sent=paid)
                current().event("retry", {"glimpse.retry.sent": paid})
                if not paid:
                    raise
            await asyncio.sleep(pause_s)

    async def _attempt(
        self,
        about: str,
        model: str,
        call: Callable[[InferenceServerClient, float], Awaitable[_T]],
        left_s: float,
        *,
        probing: bool,
    ) -> _T:
        """Call Triton once, and tell the circuits what that says."""
        client = self._connect()
        if not probing:
            self.circuits.admit(model)
        try:
            answer = await call(client, left_s)
        except InferenceServerException as error:
            failure = translated(error, about)
            if isinstance(failure, DeadlineExceeded):
                if left_s < _FAIR_CHANCE_S:
                    # A call that had next to no time says nothing about the server.
                    self.circuits.abandoned(model)
                else:
                    self.circuits.silent(model)
            elif isinstance(failure, BackendUnavailable) and not names_model(error, about):
                self.circuits.unreachable(model)
            else:
                self.circuits.answered(model)
            raise failure from error
        except asyncio.CancelledError:
            self.circuits.abandoned(model)
            task = asyncio.current_task()
            if self.closed and task is not None and not task.cancelling():
                # Closing a channel looks like a cancellation to the calls on it, but nobody cancelled the caller.
                raise BackendUnavailable("the predictor was closed", stage="inference") from None
            raise
        self.circuits.answered(model)
        return answer

    def _changed(self, target: str, state: CircuitState) -> None:
        self._watch.set_circuit(target, state)
        current().event("circuit", {"glimpse.circuit.target": target, "glimpse.circuit.state": state})
        if state != "trying":
            _log.warning("a circuit to Triton changed", extra={"target": target, "state": state})
