"""How often one caller may ask, and how many streams it may hold."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_MOST_BUCKETS = 4096


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s` requests a second in the long run, `burst` at once, `streams` live streams at a time; 0: no bound."""

    per_s: float = 0.0
    burst: int = 0
    streams: int = 0

    @property
    def size(self) -> int:
        """How many may come at once: without a burst, what comes in a second."""
        return self.burst or max(1, math.ceil(self.per_s))


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left of a rate: `remaining` of `limit` requests; `reset_s` seconds until all are there again, `wait_s`
    until the next one is; `window_s` is the time in which `limit` come anew.
    """

    limit: int
    remaining: int
    reset_s: float
    wait_s: float
    window_s: float


class Bucket:
    """A token bucket on a clock that never goes back."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._level = float(rate.size)
        self._at = clock()

    def take(self, rate: Rate) -> Quota:
        """Take one, unless `wait_s` of the answer is above 0. A rate that has changed holds from now on."""
        now = self._clock()
        self._level = min(float(rate.size), self._level + (now - self._at) * rate.per_s)
        self._at = now
        wait_s = max(0.0, (1.0 - self._level) / rate.per_s)
        # A wait of less than a clock's tick is none, or rounding would refuse whoever comes exactly in time.
        if wait_s < 1e-9:
            wait_s = 0.0
            self._level -= 1.0
        return Quota(
            limit=rate.size,
            remaining=max(0, math.floor(self._level + 1e-9)),
            reset_s=max(0.0, (rate.size - self._level) / rate.per_s),
            wait_s=wait_s,
            window_s=rate.size / rate.per_s,
        )


class Rates:
    """The bucket of each caller; of very many callers, those that have been silent longest are forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, most: int = _MOST_BUCKETS) -> None:
        self._clock = clock
        self._most = most
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, tenant: str, rate: Rate) -> Quota | None:
        """One request of `tenant`; None where its rate is not bounded."""
        if rate.per_s <= 0:
            return None
        bucket = self._buckets.get(tenant)
        if bucket is None:
            bucket = self._buckets[tenant] = Bucket(rate, self._clock)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(tenant)
        return bucket.take(rate)
