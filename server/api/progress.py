"""Progress for a reader that may be slower than the work."""

from __future__ import annotations

import asyncio

from server.types import Progress


class Pending:
    """Progress that the reader has not taken yet; the newer one of a stage replaces the older."""

    def __init__(self) -> None:
        self._by_stage: dict[str, Progress] = {}
        self._changed = asyncio.Event()

    def __call__(self, progress: Progress) -> None:
        """Put one there."""
        self._by_stage[progress.stage] = progress
        self._changed.set()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self._by_stage

    def wake(self) -> None:
        """Let `changed` return although nothing was put there."""
        self._changed.set()

    async def changed(self) -> None:
        """Wait for something, or for `wake`."""
        await self._changed.wait()
        self._changed.clear()

    def take(self) -> Progress:
        """The first that is there."""
        return self._by_stage.pop(next(iter(self._by_stage)))
