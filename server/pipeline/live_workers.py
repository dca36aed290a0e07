"""Worker processes for live streams: one for each stream, started when it is wanted, with one more waiting ready."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from server.errors import ConfigurationError, Overloaded
from server.pipeline.live_jobs import LiveRehearse
from server.pipeline.worker_main import Handler
from server.pipeline.worker_process import WorkerProcess

_log = logging.getLogger(__name__)

_START_S = 60.0
_STOP_GRACE_S = 1.0
_END_S = 5.0


class LiveWorkers:
    """At most `most` processes at a time, each with a handler built by `factory` (which pickles).

    Streams do not share one: what a hostile picture does to its process, it does to one stream, and the system's
    scheduler keeps a slow stream from slowing another.
    """

    def __init__(self, factory: Callable[[], Handler], *, most: int, memory_bytes: int | None = None) -> None:
        self._factory = pickle.dumps(factory)
        self._most = most
        self._memory_bytes = memory_bytes
        self._sender = ThreadPoolExecutor(2 * most, thread_name_prefix="glimpse-live-send")
        self._processes: set[WorkerProcess] = set()
        self._lent: set[WorkerProcess] = set()
        self._spare: asyncio.Future[WorkerProcess] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def lent(self) -> int:
        """Processes that work for a stream."""
        return len(self._lent)

    async def start(self) -> None:
        """Have the first process ready. Raises `ConfigurationError` when it cannot be set up."""
        spare = self._next()
        await asyncio.wait({spare})
        try:
            spare.result()
        except ConfigurationError:
            self._spare = None
            raise

    async def frame_cost_s(self) -> float:
        """Processor time in which one frame is looked at here; see `server.pipeline.rehearsal`."""
        async with self.borrow() as process:
            return float(await process.run(LiveRehearse(), None))

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[WorkerProcess]:
        """A process for one stream, which ends with it or goes on to the next.

        Raises `Overloaded` when all are lent, `ConfigurationError` when none can be started.
        """
        if self._closing or len(self._lent) >= self._most:
            raise Overloaded("all processes for live streams are taken", stage="live")
        process = await self._take()
        self._lent.add(process)
        if len(self._lent) < self._most:
            self._next()
        try:
            yield process
        finally:
            self._lent.discard(process)
            self._keep(self._take_back(process))

    async def close(self) -> None:
        """End every process now."""
        self._closing = True
        if self._spare is not None:
            self._spare.cancel()
        for process in self._processes:
            process.kill("shutdown")
        exits = {process.exited for process in self._processes}
        if exits:
            await asyncio.wait(exits, timeout=_END_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._sender.shutdown(wait=False)

    async def _take(self) -> WorkerProcess:
        while True:
            spare, self._spare = self._next(), None
            try:
                process = await asyncio.shield(spare)
            except asyncio.CancelledError:
                self._spare = self._spare or spare
                raise
            if not process.ending:
                return process

    def _next(self) -> asyncio.Future[WorkerProcess]:
        """The process that is ready or will be."""
        if self._spare is None:
            self._spare = asyncio.get_running_loop().create_task(self._launch())
            self._spare.add_done_callback(_look_at)
        return self._spare

    async def _launch(self) -> WorkerProcess:
        process = WorkerProcess(self._factory, self._memory_bytes, self._sender)
        self._processes.add(process)
        process.exited.add_done_callback(lambda _: self._processes.discard(process))
        await asyncio.wait({process.started}, timeout=_START_S)
        if not process.started.done():
            process.kill("start")
            raise ConfigurationError(f"A worker was not ready after {_START_S:g} s.")
        process.started.result()
        return process

    async def _take_back(self, process: WorkerProcess) -> None:
        """One that is free is the next spare where there is none; all others end."""
        if process.busy:
            await process.stop(_STOP_GRACE_S, "cancelled")
        if process.ending or self._spare is not None or self._closing:
            process.kill("shutdown")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(process.exited), _END_S)
            return
        self._spare = asyncio.get_running_loop().create_future()
        self._spare.set_result(process)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _look_at(task: asyncio.Future[WorkerProcess]) -> None:
    """A spare that could not be set up is reported to who wants it, if anybody does."""
    if not task.cancelled() and task.exception() is not None:
        _log.error("a worker for live streams cannot be set up: %s", task.exception())
