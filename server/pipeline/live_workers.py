"""Worker processes for live streams: each serves one stream and ends with it, and one more waits ready."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from server.errors import ConfigurationError, Overloaded
from server.pipeline.base import Observer
from server.pipeline.confined import tell_confinement, watch_process
from server.pipeline.live_jobs import LiveRehearse
from server.pipeline.worker_main import Handler
from server.pipeline.worker_process import WorkerProcess
from server.sandbox.confinement import Bounds

_log = logging.getLogger(__name__)

_START_S = 60.0
_END_S = 5.0
_TRIES = 2


class LiveWorkers:
    """At most `most` processes at a time, each with a handler built by `factory` (which pickles).

    No two streams share one, not even one after the other: what a hostile picture does to its process, it does to one
    stream, nothing of a stream outlasts it, and the system's scheduler keeps a slow stream from slowing another.
    """

    def __init__(
        self,
        factory: Callable[[], Handler],
        *,
        most: int,
        bounds: Bounds | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._factory = pickle.dumps(factory)
        self._most = most
        self._bounds = bounds or Bounds()
        self._observer = observer
        self._sender = ThreadPoolExecutor(2 * most, thread_name_prefix="glimpse-live-send")
        self._processes: set[WorkerProcess] = set()
        self._lent = 0
        self._spare: asyncio.Task[WorkerProcess] | None = None
        self._closing = False

    @property
    def lent(self) -> int:
        """Streams that have a process, or wait for theirs to be ready."""
        return self._lent

    async def start(self) -> None:
        """Have the first process ready. Raises `ConfigurationError` when it cannot be set up."""
        spare = self._next()
        await asyncio.wait({spare})
        try:
            spare.result()
        except ConfigurationError:
            self._spare = None
            raise
        tell_confinement("live", [spare.result()], self._observer)

    async def frame_cost_s(self) -> float:
        """Processor time in which one frame is looked at here; see `server.pipeline.rehearsal`. To be asked after
        `start`, before the first stream.

        The process that waits ready finds it out and goes on waiting: it has seen a drawn face, and nobody's.
        """
        process = await self._next()
        return float(await process.run(LiveRehearse(), None))

    @asynccontextmanager
    async def borrow(self) -> AsyncIterator[WorkerProcess]:
        """A process for one stream, which is killed when the block is left, whatever it does.

        Raises `Overloaded` when all are lent, `ConfigurationError` when none can be started.
        """
        if self._closing:
            raise _closed()
        if self._lent >= self._most:
            raise Overloaded("all processes for live streams are taken", stage="live")
        self._lent += 1
        process: WorkerProcess | None = None
        try:
            process = await self._take()
            if self._lent < self._most:
                self._next()
            yield process
        finally:
            self._lent -= 1
            if process is not None:
                process.kill("shutdown")
                process.exited.add_done_callback(self._make_up)

    async def close(self) -> None:
        """End every process now."""
        self._closing = True
        for process in self._processes:
            process.kill("shutdown")
        exits = {process.exited for process in self._processes}
        if exits:
            await asyncio.wait(exits, timeout=_END_S)
        if self._spare is not None:
            await asyncio.wait({self._spare}, timeout=_END_S)
        self._sender.shutdown(wait=False)

    async def _take(self) -> WorkerProcess:
        failures = 0
        while not self._closing:
            spare, self._spare = self._next(), None
            waited = spare.done()
            try:
                process = await asyncio.shield(spare)
            except asyncio.CancelledError:
                self._give_back(spare)
                raise
            except ConfigurationError:
                # One that failed while nobody waited for it says nothing about now.
                if self._closing or waited:
                    continue
                # Nor does one that was killed while it began; an installation that is broken fails again.
                failures += 1
                if failures < _TRIES:
                    continue
                raise
            if not process.ending:
                return process
        raise _closed()

    def _next(self) -> asyncio.Task[WorkerProcess]:
        """The process that is ready or will be."""
        if self._spare is None:
            self._spare = asyncio.get_running_loop().create_task(self._launch())
            self._spare.add_done_callback(self._look_at)
        return self._spare

    def _give_back(self, spare: asyncio.Task[WorkerProcess]) -> None:
        """Who was to have it wants it no more: it is for the next one, or there is one already."""
        if self._spare is None and not self._closing:
            self._spare = spare
        else:
            spare.add_done_callback(_end)
            spare.cancel()

    def _make_up(self, _: asyncio.Future[None]) -> None:
        """A process has ended with its stream, so that there is room for one that waits ready."""
        if not self._closing and self._lent < self._most:
            self._next()

    async def _launch(self) -> WorkerProcess:
        if self._closing:
            raise ConfigurationError("No worker is started any more.")
        process = WorkerProcess(self._factory, self._bounds, self._sender)
        self._processes.add(process)
        process.exited.add_done_callback(lambda _: self._on_exit(process))
        try:
            await asyncio.wait({process.started}, timeout=_START_S)
        except asyncio.CancelledError:
            process.kill("shutdown")
            raise
        if not process.started.done():
            process.kill("start")
            raise ConfigurationError(f"A worker was not ready after {_START_S:g} s.")
        process.started.result()
        watch_process("live", process, self._observer)
        return process

    def _on_exit(self, process: WorkerProcess) -> None:
        self._processes.discard(process)
        if self._observer is not None and process.ending != "shutdown" and not self._closing:
            self._observer.count_worker_restart(process.ending)

    def _look_at(self, task: asyncio.Task[WorkerProcess]) -> None:
        """One that could not be set up is reported to who wants it, if anybody does."""
        if not task.cancelled() and task.exception() is not None and not self._closing:
            _log.error("a worker for live streams cannot be set up: %s", task.exception())


def _end(task: asyncio.Task[WorkerProcess]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().kill("shutdown")


def _closed() -> Overloaded:
    return Overloaded("The service is shutting down.", stage="live")
