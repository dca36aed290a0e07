"""How several tenants share what is scarce: whose turn it is, and how much one of them may take.

The order is that of start-time fair queueing (Goyal, Vin, Cheng 1996), the share of each that of dynamic thresholds
(Choudhury, Hahne 1998).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")

_SHARE = 4
_NEWEST_WEIGHT = 0.1


def may_take(count: float, own: float, taken: float, most: float) -> bool:
    """Whether a tenant that holds `own` of the `taken` of `most` may take `count` more.

    Nobody may hold more than four times what is left: one alone gets four fifths, two get four ninths each, and there
    is always something left for who comes next. Of four or fewer, one alone gets all.
    """
    left = most - taken
    return count <= left and own + count <= max(_SHARE * left, count)


@dataclass
class _Tenant(Generic[T]):
    """`had` is what it was charged so far, `advances` what it was charged for what it holds now."""

    had: float
    waiting: deque[T] = field(default_factory=deque)
    advances: list[float] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.advances


class FairQueue(Generic[T]):
    """Those who wait, by tenant. Next is who waits longest of the tenant that has had least.

    What a turn costs, such as seconds of a worker, is known only at its end: at its beginning the mean is charged. A
    tenant that comes back saves up nothing while it is away, and what it owes is remembered only while others wait.
    """

    def __init__(self) -> None:
        self._tenants: dict[str, _Tenant[T]] = {}
        self._clock = 0.0
        self._mean: float | None = None

    def __len__(self) -> int:
        """How many wait."""
        return sum(len(tenant.waiting) for tenant in self._tenants.values())

    def items(self) -> list[T]:
        """All who wait."""
        return [item for tenant in self._tenants.values() for item in tenant.waiting]

    def waiting(self, name: str) -> int:
        """How many of this tenant wait."""
        return len(self._tenants[name].waiting) if name in self._tenants else 0

    def holding(self, name: str) -> int:
        """How many turns of this tenant have begun and not ended."""
        return len(self._tenants[name].advances) if name in self._tenants else 0

    def join(self, name: str, item: T) -> None:
        """Let one more wait."""
        tenant = self._tenants.setdefault(name, _Tenant(self._clock))
        if tenant.idle:
            tenant.had = max(tenant.had, self._clock)
        tenant.waiting.append(item)

    def leave(self, name: str, item: T) -> bool:
        """Whether this one waited; then it does no more."""
        tenant = self._tenants.get(name)
        if tenant is None or item not in tenant.waiting:
            return False
        tenant.waiting.remove(item)
        self._forget()
        return True

    def take(self, may: Callable[[str], bool] = lambda _: True) -> T | None:
        """Begin the turn of the next one of the tenants that `may`; None where no such one waits."""
        asking = [name for name, tenant in self._tenants.items() if tenant.waiting and may(name)]
        if not asking:
            return None
        tenant = self._tenants[min(asking, key=lambda name: self._tenants[name].had)]
        self._clock = max(self._clock, tenant.had)
        advance = 1.0 if self._mean is None else self._mean
        tenant.advances.append(advance)
        tenant.had += advance
        return tenant.waiting.popleft()

    def end(self, name: str, cost: float | None) -> None:
        """End a turn that has cost `cost`; None for one that was not used."""
        tenant = self._tenants[name]
        tenant.had += (cost or 0.0) - tenant.advances.pop()
        if cost is not None:
            self._mean = cost if self._mean is None else self._mean + _NEWEST_WEIGHT * (cost - self._mean)
        self._forget()

    def newest(self, name: str) -> T:
        """Of those of this tenant that wait, the one that came last; it waits no more."""
        item = self._tenants[name].waiting.pop()
        self._forget()
        return item

    def _forget(self) -> None:
        """Keep nobody who has nothing here and owes nothing."""
        if all(tenant.idle for tenant in self._tenants.values()):
            self._tenants.clear()
        for name in [name for name, tenant in self._tenants.items() if tenant.idle and tenant.had <= self._clock]:
            del self._tenants[name]
