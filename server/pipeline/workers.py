"""The pool of worker processes: bounded admission, deadlines, cancellation, replacement of what died."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from server.errors import ConfigurationError, DeadlineExceeded, Overloaded
from server.fairness import FairQueue
from server.pipeline.base import Observer, OnProgress
from server.pipeline.confined import tell_confinement, watch_process
from server.pipeline.worker_main import Handler
from server.pipeline.worker_process import WorkerKilled, WorkerProcess
from server.sandbox.confinement import Bounds
from server.spans import current, span

_log = logging.getLogger(__name__)

_START_S = 60.0
_STOP_GRACE_S = 1.0
_END_S = 5.0
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 30.0
_NICE = 3
"""Of the workers beside spare ones: two of them weigh as much as one that is not nice, so that on two processors the
scheduler leaves one to a spare worker. More would hurt where other programs want the same processors.
"""


class WorkerPool:
    """`workers` processes, each with a handler built once by `factory` (which pickles), and `queue` places to wait.

    Each process is held to `bounds`. What becomes of the processes is told to `observer`.

    `tenant` says whose job it is that is asked for: tenants get workers in turn, by the seconds that they had of them.
    A worker is not taken away before its job ends, so `spare` more processes take the jobs of tenants that have no
    worker while others have them all; on the processors they come first, and cost the others nothing while they rest.
    """

    def __init__(
        self,
        factory: Callable[[], Handler],
        *,
        workers: int,
        queue: int,
        bounds: Bounds | None = None,
        observer: Observer | None = None,
        spare: int = 0,
        tenant: Callable[[], str] = str,
    ) -> None:
        self._factory = pickle.dumps(factory)
        self._count = workers
        self._spare = spare
        self._tenant = tenant
        self._queue = queue
        self._bounds = bounds or Bounds()
        self._observer = observer
        # Twice as many threads as workers: the request to stop must not wait behind somebody else's clip.
        self._sender = ThreadPoolExecutor(2 * (workers + spare), thread_name_prefix="glimpse-send")
        self._processes: set[WorkerProcess] = set()
        self._idle: list[WorkerProcess] = []
        self._busy = 0
        self._waiting: FairQueue[asyncio.Future[WorkerProcess]] = FairQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()
        self._closing = False

    @property
    def alive(self) -> int:
        """Workers that are idle or busy; fewer than asked for while one is being replaced."""
        return len(self._idle) + self._busy

    async def start(self) -> None:
        """Wait until every worker has built its handler. Raises `ConfigurationError` when one cannot."""
        launches = [self._launch(spare=number >= self._count) for number in range(self._count + self._spare)]
        started = await asyncio.gather(*launches, return_exceptions=True)
        failures = [result for result in started if isinstance(result, BaseException)]
        if failures:
            await self.close(0)
            raise failures[0]
        for process in started:
            assert isinstance(process, WorkerProcess)
            self._offer(process)
        tell_confinement("clips", self._processes, self._observer)

    async def run(self, job: Any, *, deadline: float, on_progress: OnProgress | None = None) -> Any:
        """What the handler returns for `job`; both must pickle. `deadline` is a `time.monotonic()` value.

        Raises what the handler raised if it is a `GlimpseError`; `WorkerCrashed` for anything else and for a worker
        that died; `DeadlineExceeded` with the stage last reported, or `queue`; `Overloaded` when nobody more may wait.
        At the deadline, and when cancelled, the worker is freed or replaced in the background. A job whose worker was
        killed from outside is given to another one, once.
        """
        try:
            return await self._run(job, deadline, on_progress)
        except WorkerKilled:
            current().event("worker killed")
            return await self._run(job, deadline, on_progress)

    async def _run(self, job: Any, deadline: float, on_progress: OnProgress | None) -> Any:
        tenant = self._tenant()
        asked = time.monotonic()
        with span("worker wait"):
            process = await self._acquire(tenant, deadline)
        began = time.monotonic()
        reason = ""
        try:
            if self._observer is not None:
                self._observer.observe_wait("worker", began - asked)
            async with asyncio.timeout_at(self._loop_time(deadline)):
                return await process.run(job, on_progress)
        except TimeoutError:
            reason = "deadline"
            raise DeadlineExceeded("The clip took longer than allowed.", stage=process.stage or "start") from None
        except asyncio.CancelledError:
            reason = "cancelled"
            raise
        finally:
            if reason:
                self._keep(self._stop(process, reason, tenant, began))
            else:
                self._release(process, tenant, time.monotonic() - began)

    async def close(self, drain_s: float) -> None:
        """Take no more jobs, let the accepted ones finish for `drain_s` seconds, then end every worker."""
        self._closing = True
        self._tell()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await self._settled.wait()
        for waiter in self._waiting.items():
            if not waiter.done():
                waiter.set_exception(Overloaded("The service is shutting down."))
        for process in self._processes:
            process.kill("shutdown")
        exits = {process.exited for process in self._processes}
        if exits:
            await asyncio.wait(exits, timeout=_END_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._sender.shutdown(wait=False)

    async def _acquire(self, tenant: str, deadline: float) -> WorkerProcess:
        """A worker, already counted as busy."""
        if self._closing:
            raise Overloaded("The service is shutting down.")
        waiter: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.join(tenant, waiter)
        self._dispatch()
        if waiter.done():
            return waiter.result()
        if len(self._waiting) > self._queue:
            self._waiting.leave(tenant, waiter)
            raise Overloaded("All workers are busy and the queue is full.")
        try:
            async with asyncio.timeout_at(self._loop_time(deadline)):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._release(waiter.result(), tenant, None)  # handed over in the very moment this one gave up
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("No worker became free in time.", stage="queue") from None
            raise
        finally:
            if self._waiting.leave(tenant, waiter):
                self._tell()

    async def _stop(self, process: WorkerProcess, reason: str, tenant: str, began: float) -> None:
        await process.stop(_STOP_GRACE_S, reason)
        self._release(process, tenant, time.monotonic() - began)

    def _release(self, process: WorkerProcess, tenant: str, seconds: float | None) -> None:
        self._busy -= 1
        self._waiting.end(tenant, seconds)
        self._offer(process)

    def _offer(self, process: WorkerProcess) -> None:
        """A worker is free; if it ends, it is replaced."""
        if process.ending:
            self._replace(process)
        else:
            self._idle.append(process)
        self._dispatch()

    def _dispatch(self) -> None:
        """Give the workers that are free to those whose turn it is, spare ones to tenants that have none."""
        for process in sorted(self._idle, key=lambda each: each.spare):
            waiter = self._waiting.take(self._has_none if process.spare else _anybody)
            if waiter is not None:
                self._idle.remove(process)
                self._busy += 1  # here, since the one who waits goes on only at the loop's next turn
                waiter.set_result(process)
        self._tell()

    def _has_none(self, tenant: str) -> bool:
        return self._waiting.holding(tenant) == 0

    async def _launch(self, *, spare: bool) -> WorkerProcess:
        process = WorkerProcess(self._factory, self._bounds, self._sender, spare=spare)
        self._processes.add(process)
        process.exited.add_done_callback(lambda _: self._on_exit(process))
        await asyncio.wait({process.started}, timeout=_START_S)
        if not process.started.done():
            process.kill("start")
            raise ConfigurationError(f"A worker was not ready after {_START_S:g} s.")
        process.started.result()
        if self._spare and not spare:
            # Not before, so that one that was lost is soon replaced.
            process.give_way(_NICE)
        watch_process("clips", process, self._observer)
        return process

    def _on_exit(self, process: WorkerProcess) -> None:
        self._processes.discard(process)
        if process in self._idle:
            self._idle.remove(process)
            self._replace(process)
            self._tell()

    def _replace(self, process: WorkerProcess) -> None:
        if self._closing:
            return
        if self._observer is not None:
            self._observer.count_worker_restart(process.ending)
        self._keep(self._revive(spare=process.spare))

    async def _revive(self, *, spare: bool) -> None:
        pause_s = _FIRST_RETRY_S
        while not self._closing:
            try:
                process = await self._launch(spare=spare)
            except ConfigurationError as error:
                _log.error("a worker cannot be replaced: %s", error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LAST_RETRY_S)
            else:
                self._offer(process)
                return

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tell(self) -> None:
        if self._busy or self._waiting:
            self._settled.clear()
        else:
            self._settled.set()
        if self._observer is not None:
            self._observer.set_workers(idle=len(self._idle), busy=self._busy, queued=len(self._waiting))

    @staticmethod
    def _loop_time(deadline: float) -> float:
        return asyncio.get_running_loop().time() + deadline - time.monotonic()


def _anybody(_: str) -> bool:
    return True
