"""Circuit breakers: what does not answer is left alone for a while, so that requests fail at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from server.errors import BackendUnavailable

CircuitState: TypeAlias = Literal["closed", "trying", "open"]
"""`closed`: calls go through; `open`: they are turned away; `trying`: one is under way and decides."""


class CircuitBreaker:
    """Opens after `failures` failures in a row; `cool_off_s` later a single call may try, and decides.

    `clock` gives seconds that never go back. `told` hears of every change. Not for use from several threads.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        cool_off_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        told: Callable[[CircuitState], None] = lambda _: None,
        what: str = "the inference server",
    ) -> None:
        self._limit = failures
        self._cool_off_s = cool_off_s
        self._clock = clock
        self._told = told
        self._what = what
        self._failures = 0
        self._opened_at: float | None = None
        self._trying = False
        self._state: CircuitState = "closed"

    @property
    def state(self) -> CircuitState:
        """Whether calls go through."""
        return self._state

    @property
    def is_open(self) -> bool:
        """Whether calls are turned away, but for one that may try."""
        return self._opened_at is not None

    def check(self) -> None:
        """Whether a call would be let through now.

        Raises `BackendUnavailable` with `retry_after_s` in its details.
        """
        if self._opened_at is None:
            return
        wait_s = self._opened_at + self._cool_off_s - self._clock()
        if wait_s > 0 or self._trying:
            raise BackendUnavailable(
                f"{self._what} did not answer lately and is given time to recover",
                stage="inference",
                retry_after_s=round(max(wait_s, 0.1), 3),
            )

    def admit(self) -> None:
        """Let one call through, which reports `succeeded`, `failed` or `abandoned`. Raises as `check`."""
        self.check()
        if self._opened_at is not None:
            self._set(trying=True)

    def succeeded(self) -> None:
        """It answered, be it with an error of the request."""
        self._failures = 0
        self._opened_at = None
        self._set(trying=False)

    def failed(self) -> None:
        """It did not answer."""
        self._failures += 1
        if self._trying or (self._opened_at is None and self._failures >= self._limit):
            self._opened_at = self._clock()
        self._set(trying=False)

    def abandoned(self) -> None:
        """The call ended without telling anything."""
        self._set(trying=False)

    def _set(self, *, trying: bool) -> None:
        self._trying = trying
        state: CircuitState = "closed" if self._opened_at is None else "trying" if trying else "open"
        if state != self._state:
            self._state = state
            self._told(state)


class Circuits:
    """One breaker for the way to the server, and one for each model on it.

    A server that cannot be reached concerns every model; a model that does not answer in time concerns itself alone,
    since its process may hang while the others answer. `told` hears of every change, with the model's name or
    `CONNECTION`.
    """

    CONNECTION = "connection"

    def __init__(
        self,
        *,
        failures: int = 5,
        cool_off_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        told: Callable[[str, CircuitState], None] = lambda *_: None,
    ) -> None:
        self._failures = failures
        self._cool_off_s = cool_off_s
        self._clock = clock
        self._told = told
        self._models: dict[str, CircuitBreaker] = {}
        self.connection = self._made(self.CONNECTION, "the inference server")

    def of(self, model: str) -> CircuitBreaker:
        """The breaker of one model. Name only models that exist: they are never forgotten."""
        if model not in self._models:
            self._models[model] = self._made(model, f"model {model!r}")
        return self._models[model]

    def closed(self, model: str) -> bool:
        """Whether calls for `model` go through."""
        return not (self.connection.is_open or (model in self._models and self._models[model].is_open))

    def another(self) -> Circuits:
        """Circuits of the same kind for another server."""
        return Circuits(failures=self._failures, cool_off_s=self._cool_off_s, clock=self._clock, told=self._told)

    def state(self, target: str) -> CircuitState:
        """That of one model's circuit, or of `CONNECTION`."""
        if target == self.CONNECTION:
            return self.connection.state
        return self._models[target].state if target in self._models else "closed"

    def takes(self, model: str) -> bool:
        """Whether a call for `model` would be let through now, be it as the one that may try."""
        try:
            self.check(model)
        except BackendUnavailable:
            return False
        return True

    def check(self, model: str) -> None:
        """Raises `BackendUnavailable` where a call for `model` would not be let through now."""
        self.connection.check()
        if model in self._models:
            self._models[model].check()

    def admit(self, model: str) -> None:
        """Let one call through; with an empty name one that concerns no model. Raises `BackendUnavailable`."""
        self.connection.admit()
        if model:
            try:
                self.of(model).admit()
            except BackendUnavailable:
                self.connection.abandoned()
                raise

    def answered(self, model: str) -> None:
        """The server answered, be it with an error of the request."""
        self.connection.succeeded()
        if model:
            self.of(model).succeeded()

    def unreachable(self, model: str) -> None:
        """No server was found."""
        self.connection.failed()
        if model:
            self.of(model).abandoned()

    def silent(self, model: str) -> None:
        """No answer in time: of the model where one was asked, else of the server."""
        if not model or self.connection.state == "trying":
            self.connection.failed()
        if model:
            self.of(model).failed()

    def abandoned(self, model: str) -> None:
        """The call ended without telling anything."""
        self.connection.abandoned()
        if model:
            self.of(model).abandoned()

    def _made(self, target: str, what: str) -> CircuitBreaker:
        return CircuitBreaker(
            failures=self._failures,
            cool_off_s=self._cool_off_s,
            clock=self._clock,
            told=lambda state: self._told(target, state),
            what=what,
        )
