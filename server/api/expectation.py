"""How long a request will have to wait, from what the last ones took."""

from __future__ import annotations

from collections.abc import Callable, Iterable

_NEWEST_WEIGHT = 0.1


def ahead(own: int, others: Iterable[int]) -> int:
    """How many requests are answered before one more of a tenant that has `own`, where other tenants have `others`.

    All of its own, and in turn with each of them and with the new one, one of every other tenant.
    """
    return own + sum(min(count, own + 1) for count in others)


class ServiceTime:
    """Seconds from one answer to the next while the service is full: mean service time / workers.

    A request that shares the service with others is slowed down by them, so the time that it took is divided by how
    many there were meanwhile (Little's law), and at least by `workers`, since so many are served at a time. What is
    told is the mean over the last ones, the newest with a weight of one tenth.
    """

    def __init__(self, workers: int, clock: Callable[[], float]) -> None:
        self._workers = workers
        self._clock = clock
        self._inside = 0
        self._area_s = 0.0
        self._since = clock()
        self.seconds: float | None = None

    def begin(self) -> tuple[float, float]:
        """A request begins to be worked on; what is returned belongs to `end`."""
        return self._advance(+1), self._area_s

    def end(self, begun: tuple[float, float], *, answered: bool) -> float:
        """The request ends; seconds that it took. One that was cancelled says nothing about others."""
        began, area_s = begun
        took_s = self._advance(-1) - began
        if answered and took_s > 0:
            meanwhile = (self._area_s - area_s) / took_s
            newest = took_s / max(meanwhile, self._workers)
            self.seconds = newest if self.seconds is None else self.seconds + _NEWEST_WEIGHT * (newest - self.seconds)
        return took_s

    def _advance(self, change: int) -> float:
        now = self._clock()
        self._area_s += self._inside * (now - self._since)
        self._since = now
        self._inside += change
        return now
