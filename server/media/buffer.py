"""Where pictures of a live stream wait for the worker, in bounded memory, under a named policy."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

from server.streams import BufferPolicy


class _Sized(Protocol):
    @property
    def size(self) -> int: ...


T = TypeVar("T", bound=_Sized)


class LiveBuffer(Generic[T]):
    """Items in order of arrival, at most `most_items` of them and `most_bytes` in all; one alone may be larger.

    Under `wait` whoever adds must wait until there is room for what it has; under `drop_oldest` the items that have
    waited longest make room; under `drop_latest` the new one goes.
    """

    def __init__(self, policy: BufferPolicy, most_items: int, most_bytes: int) -> None:
        self.policy = policy
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._items: deque[T] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def bytes(self) -> int:
        """What is held."""
        return self._bytes

    def fits(self, item: T) -> bool:
        """Whether there is room for `item` as well."""
        within = len(self._items) < self._most_items and self._bytes + item.size <= self._most_bytes
        return within or not self._items

    def add(self, item: T) -> list[T]:
        """Add one; those that went for it, which may be itself. Under `wait` none goes, whether it fits or not."""
        if self.policy == "drop_latest" and not self.fits(item):
            return [item]
        gone = []
        while self.policy == "drop_oldest" and not self.fits(item):
            gone.append(self._pop())
        self._items.append(item)
        self._bytes += item.size
        return gone

    def take(self, most: int) -> list[T]:
        """Up to `most` items, the oldest first."""
        return [self._pop() for _ in range(min(most, len(self._items)))]

    def _pop(self) -> T:
        item = self._items.popleft()
        self._bytes -= item.size
        return item
