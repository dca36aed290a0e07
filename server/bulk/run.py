"""One run over a corpus: clips from the queue to the engine, as many as it takes, and what becomes of them recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from server.bulk.engines import Engine
from server.bulk.outcomes import Clip, Outcome
from server.bulk.pace import Pace
from server.bulk.results import Results


class Run:
    """Looks at what `results` has in its queue and no result yet; `tell` is called whenever `pace` has changed.

    With `retry_failed`, clips that failed are looked at again; with `fail_fast`, a failure lets no further clip begin.
    """

    def __init__(
        self,
        engine: Engine,
        results: Results,
        pace: Pace,
        tell: Callable[[], None],
        *,
        retry_failed: bool = False,
        fail_fast: bool = False,
    ) -> None:
        self._engine = engine
        self._results = results
        self._pace = pace
        self._tell = tell
        self._retry_failed = retry_failed
        self._fail_fast = fail_fast
        self._stopping = False
        self._recording = asyncio.Lock()

    def stop(self) -> None:
        """Begin no further clip; those that are under way are finished."""
        self._stopping = True

    async def __call__(self) -> bool:
        """Whether all of the queue was looked at.

        Raises the `GlimpseError` that ended the run: the results cannot be written, or no clip could be analysed now.
        """
        slots = asyncio.Semaphore(self._engine.slots)
        try:
            async with asyncio.TaskGroup() as group:
                async for clip in self._clips():
                    await slots.acquire()
                    if self._stopping:
                        return False
                    group.create_task(self._one(clip, slots))
        except ExceptionGroup as group_of_errors:
            raise group_of_errors.exceptions[0] from None
        return True

    async def _clips(self) -> AsyncIterator[Clip]:
        last = 0
        while page := await asyncio.to_thread(self._results.page, last, retry_failed=self._retry_failed):
            last = page.last
            self._pace.done += page.done
            self._tell()
            for clip in page.clips:
                yield clip

    async def _one(self, clip: Clip, slots: asyncio.Semaphore) -> None:
        try:
            outcome = await self._engine.examine(clip)
            # One at a time, so that a slow disk keeps no more than one thread.
            async with self._recording:
                await asyncio.to_thread(self._results.record, outcome)
            self._count(outcome)
        finally:
            slots.release()

    def _count(self, outcome: Outcome) -> None:
        if outcome.report is not None:
            self._pace.analysed += 1
            self._pace.film_s += outcome.report.clip.duration_s
        elif outcome.failure is not None:
            self._pace.failed += 1
            self._stopping = self._stopping or self._fail_fast
        else:
            self._pace.done += 1
        self._tell()
