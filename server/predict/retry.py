"""How often a call that found no server is made again: by each call, and by all of them together."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass


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


class RetryBudget:
    """What all callers together may try again, so that an outage is not multiplied by its own retries.

    A token bucket of `burst` tokens, full at first: every call puts `share` of a token in, and every second
    `per_second`, so that a quiet service may try again too; a retry takes one out.
    """

    def __init__(
        self,
        *,
        share: float = 0.1,
        per_second: float = 0.2,
        burst: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._filled_at = clock()

    def called(self) -> None:
        """A call was made for the first time."""
        self._fill(self._share)

    def take(self) -> bool:
        """Whether one retry may be made; it is then paid for."""
        self._fill(0.0)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _fill(self, more: float) -> None:
        now = self._clock()
        more += (now - self._filled_at) * self._per_second
        self._filled_at = now
        self._tokens = min(self._burst, self._tokens + more)
