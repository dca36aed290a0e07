"""A circuit breaker: a backend that is down is left alone for a while, so that requests fail at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from server.errors import BackendUnavailable


class CircuitBreaker:
    """Opens after `failures` failures in a row; `cool_off_s` later a single call may try, and decides.

    `clock` gives seconds that never go back. Not for use from several threads.
    """

    def __init__(
        self, *, failures: int = 5, cool_off_s: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._cool_off_s = cool_off_s
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._trying = False

    @property
    def is_open(self) -> bool:
        """Whether calls are turned away."""
        return self._opened_at is not None

    def admit(self) -> None:
        """Let one call through; whoever was admitted reports `succeeded`, `failed` or `abandoned`.

        Raises `BackendUnavailable` with `retry_after_s` in its details.
        """
        if self._opened_at is None:
            return
        wait_s = self._opened_at + self._cool_off_s - self._clock()
        if wait_s > 0 or self._trying:
            raise BackendUnavailable(
                "the inference server did not answer lately and is given time to recover",
                stage="inference",
                retry_after_s=round(max(wait_s, 0.1), 3),
            )
        self._trying = True

    def succeeded(self) -> None:
        """The backend answered, be it with an error of the request."""
        self._failures = 0
        self._opened_at = None
        self._trying = False

    def failed(self) -> None:
        """The backend did not answer."""
        self._failures += 1
        if self._trying or (self._opened_at is None and self._failures >= self._limit):
            self._opened_at = self._clock()
        self._trying = False

    def abandoned(self) -> None:
        """The call ended without telling anything about the backend."""
        self._trying = False
