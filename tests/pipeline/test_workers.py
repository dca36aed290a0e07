"""The worker pool, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import importlib
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from server.errors import ConfigurationError, DeadlineExceeded, NoFace, Overloaded, WorkerCrashed
from server.pipeline.workers import WorkerPool
from server.sandbox.confinement import Bounds

HERE = Path(__file__).parent


class Watcher:
    """Keeps what the pool reports."""

    def __init__(self) -> None:
        self.restarts: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.pids: set[tuple[str, int]] = set()
        self.states: list[tuple[int, int, int]] = []
        self.changed = asyncio.Event()

    def set_workers(self, *, idle: int, busy: int, queued: int) -> None:
        """Remember and wake up who waits."""
        self.states.append((idle, busy, queued))
        self.changed.set()

    def observe_wait(self, kind: str, seconds: float) -> None:
        """Remember that somebody waited."""
        self.waits[kind] += seconds >= 0

    def track_worker(self, workers: str, pid: int, *, runs: bool) -> None:
        """Remember which run."""
        (self.pids.add if runs else self.pids.discard)((workers, pid))

    def count_worker_restart(self, reason: str) -> None:
        """Remember the reason."""
        self.restarts[reason] += 1

    def set_sandbox(self, workers: str, layers: dict[str, bool]) -> None:
        """Remember."""
        self.sandbox = (workers, layers)

    async def until(self, idle: int, busy: int, queued: int) -> None:
        """Wait for a state, for 20 s at most."""
        async with asyncio.timeout(20):
            while self.states[-1] != (idle, busy, queued):
                self.changed.clear()
                await self.changed.wait()


def niceness(pid: int) -> set[int]:
    """That of every thread of a process."""
    return {os.getpriority(os.PRIO_PROCESS, int(thread.name)) for thread in Path(f"/proc/{pid}/task").iterdir()}


@pytest.fixture
def jobs(monkeypatch):
    """The handlers, importable in the workers, too."""
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("worker_jobs")


@pytest.fixture
async def make(jobs) -> AsyncIterator[Callable[..., Any]]:
    """Starts pools and closes them after the test."""
    pools: list[WorkerPool] = []

    async def start(workers: int = 1, queue: int = 4, **options: Any) -> tuple[WorkerPool, Watcher]:
        watcher = Watcher()
        pool = WorkerPool(jobs.build, workers=workers, queue=queue, observer=watcher, **options)  # type: ignore[arg-type]
        pools.append(pool)
        await pool.start()
        return pool, watcher

    yield start
    for pool in pools:
        await pool.close(0)


def soon(seconds: float = 30) -> float:
    """A deadline."""
    return time.monotonic() + seconds


async def test_answers_come_back_with_progress_in_order(make):
    """A job's result comes back, after all its reports of progress, on the event loop."""
    pool, watcher = await make()
    seen: list[int] = []

    def on_progress(progress) -> None:
        asyncio.get_running_loop()
        seen.append(progress.done)

    assert await pool.run(("count", 50), deadline=soon(), on_progress=on_progress) == 50
    assert seen == list(range(50))
    assert watcher.states[-1] == (1, 0, 0)
    assert not watcher.restarts


async def test_waits_and_processes_are_told(make):
    """Each job tells that it waited for its worker; a process is known from when it is ready until it has ended."""
    pool, watcher = await make()
    facts = await pool.run(("describe",), deadline=soon())
    assert watcher.waits == {"worker": 1}
    assert watcher.pids == {("clips", facts["pid"])}
    await pool.close(0)
    assert not watcher.pids


async def test_workers_are_confined(make, monkeypatch):
    """A worker computes in one thread, dumps no core, ignores Ctrl-C, is a process of its own and knows no setting."""
    monkeypatch.setenv("GLIMPSE_MLLM__API_KEY", "secret")
    pool, _ = await make()
    facts = await pool.run(("describe",), deadline=soon())
    assert facts["pid"] != os.getpid()
    assert facts["parent"] == os.getpid()
    assert (facts["omp"], facts["cv2"], facts["core"]) == ("1", 1, (0, 0))
    assert facts["sigint"]
    assert not facts["torch"]
    assert facts["settings"] == []


async def test_large_jobs_do_not_block_the_loop(make):
    """100 MB reach the worker intact while the loop goes on, and queued jobs follow."""
    pool, _ = await make()
    data = os.urandom(1 << 20) * 100
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    ticker = asyncio.create_task(turn())
    length, digest = await pool.run(("hash", data), deadline=soon())
    ticker.cancel()
    assert (length, digest) == (len(data), hashlib.blake2b(data).hexdigest())
    assert turns > 100


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_a_worker_keeps_nothing_of_a_job(make):
    """A clip does not stay in the memory of a worker that waits for the next."""
    pool, _ = await make()
    pid = (await pool.run(("describe",), deadline=soon()))["pid"]
    before = resident_bytes(pid)
    await pool.run(("hash", bytes(100 << 20)), deadline=soon())
    deadline, pause = soon(10), threading.Event()
    while resident_bytes(pid) > before + (50 << 20):
        assert time.monotonic() < deadline, "the worker still holds the clip"
        pause.wait(0.02)


def resident_bytes(pid: int) -> int:
    """Memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


async def test_errors_of_the_tree_come_back_as_themselves(make):
    """A `GlimpseError` crosses the border with its stage and details, and the worker stays."""
    pool, watcher = await make()
    with pytest.raises(NoFace, match="nobody") as caught:
        await pool.run(("raise", "NoFace", "nobody"), deadline=soon())
    assert (caught.value.stage, caught.value.details) == ("faces", {"frames": 3})
    assert not watcher.restarts


@pytest.mark.parametrize("job", [("raise", "ValueError", "a face at 3,4"), ("unpicklable",)])
async def test_other_errors_cost_the_job_and_tell_nothing_of_it(job, make, caplog):
    """Any other exception is `WorkerCrashed`; its text goes neither to the caller nor to the log."""
    pool, watcher = await make()
    with caplog.at_level(logging.DEBUG), pytest.raises(WorkerCrashed) as caught:
        await pool.run(job, deadline=soon())
    told = caplog.text + str(caught.value)
    assert "a face" not in told
    assert "Error" in caplog.text
    assert "worker_" in caplog.text
    assert await pool.run(("count", 1), deadline=soon()) == 1
    assert not watcher.restarts


@pytest.mark.parametrize(("how", "deaths"), [("segfault", 1), ("kill", 2), ("exit", 1)])
async def test_a_worker_that_dies_costs_one_job(how, deaths, make, capfd):
    """The job of the dead worker fails, the others' do not, and a new worker takes its place. One that was killed need
    not have been the job's fault, so the job is tried once more.
    """
    pool, watcher = await make(workers=2)
    async with asyncio.TaskGroup() as group:
        others = [group.create_task(pool.run(("count", 200), deadline=soon())) for _ in range(2)]
        with pytest.raises(WorkerCrashed) as caught:
            await pool.run(("die", how), deadline=soon())
    assert [other.result() for other in others] == [200, 200]
    assert caught.value.stage == "die"
    await watcher.until(2, 0, 0)
    assert watcher.restarts == {"crash": deaths}
    assert await pool.run(("count", 3), deadline=soon()) == 3
    capfd.readouterr()


async def test_a_job_whose_worker_is_killed_from_outside_is_done_by_another(make, tmp_path):
    """Who asked for it gets the answer, and the worker that was killed is replaced."""
    # In the sandbox a job could not leave a mark for its second run.
    pool, watcher = await make(bounds=Bounds(sandbox="off"))
    pid = (await pool.run(("describe",), deadline=soon()))["pid"]
    begun = asyncio.Event()
    once = tmp_path / "begun"
    job = asyncio.create_task(pool.run(("once", str(once)), deadline=soon(), on_progress=lambda _: begun.set()))
    await begun.wait()
    os.kill(pid, signal.SIGKILL)
    assert await job == "answered"
    assert watcher.restarts == {"crash": 1}


async def test_a_spare_worker_serves_who_has_none_while_one_tenant_has_all_others(jobs):
    """The tenant that asks for more waits; the one that asks for its first is served at once, and comes first on the
    processors.
    """
    tenants = iter(["flood", "flood", "polite"])
    watcher = Watcher()
    pool = WorkerPool(jobs.build, workers=1, queue=4, observer=watcher, spare=1, tenant=lambda: next(tenants))
    await pool.start()
    try:
        flood = [asyncio.create_task(pool.run(("spin",), deadline=soon())) for _ in range(2)]
        await watcher.until(1, 1, 1)
        facts = await pool.run(("describe",), deadline=soon())
        assert niceness(facts["pid"]) == {os.getpriority(os.PRIO_PROCESS, 0)}
        await watcher.until(1, 1, 1)
        for job in flood:
            job.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
    finally:
        await pool.close(0)


async def test_workers_beside_a_spare_one_give_way_on_the_processors(jobs):
    """Every thread of theirs is nicer than the gateway."""
    pool = WorkerPool(jobs.build, workers=1, queue=4, spare=1)
    await pool.start()
    try:
        facts = await pool.run(("describe",), deadline=soon())
        assert min(niceness(facts["pid"])) > os.getpriority(os.PRIO_PROCESS, 0)
    finally:
        await pool.close(0)


async def test_tenants_get_workers_in_turn(make):
    """Who asked once is served after the job that runs, not after all that somebody else has asked for before."""
    tenants = iter(["flood"] * 4 + ["polite"])
    pool, _ = await make(tenant=lambda: next(tenants))
    order: list[str] = []

    async def ask(name: str) -> None:
        await pool.run(("count", 1), deadline=soon())
        order.append(name)

    async with asyncio.TaskGroup() as group:
        for name in ("flood", "flood", "flood", "flood", "polite"):
            group.create_task(ask(name))
    assert order == ["flood", "polite", "flood", "flood", "flood"]


async def test_an_idle_worker_that_dies_is_replaced(make):
    """Nobody has to run into a dead worker."""
    pool, watcher = await make()
    pid = (await pool.run(("describe",), deadline=soon()))["pid"]
    os.kill(pid, signal.SIGKILL)
    await watcher.until(0, 0, 0)
    await watcher.until(1, 0, 0)
    assert watcher.restarts == {"crash": 1}
    assert (await pool.run(("describe",), deadline=soon()))["pid"] != pid


@pytest.mark.parametrize(("job", "restarts"), [("spin", {}), ("hang", {"deadline": 1})])
async def test_past_the_deadline_the_worker_is_freed(job, restarts, make):
    """A job ends at its deadline with the stage it was in; only a worker that does not stop is killed."""
    pool, watcher = await make()
    with pytest.raises(DeadlineExceeded) as caught:
        await pool.run((job,), deadline=soon(0.3))
    assert caught.value.stage == job
    assert await pool.run(("count", 2), deadline=soon()) == 2
    assert watcher.restarts == restarts


async def test_many_short_deadlines_leave_the_workers_alone(make, caplog):
    """Whenever the deadline falls, while the job is sent or worked on: no restart, and no word in the loop's log."""
    pool, watcher = await make()
    clip = bytes(64 << 20)
    for step in range(14):
        with contextlib.suppress(DeadlineExceeded):
            await pool.run(("spin", clip), deadline=soon(0.001 + 0.02 * step))
    await watcher.until(1, 0, 0)
    gc.collect()
    assert not watcher.restarts
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_a_job_that_cannot_be_sent_any_more_is_not_logged(make, caplog):
    """A worker that takes nothing is killed in the middle of the job, and nobody is left to read the error."""
    pool, watcher = await make()
    pid = (await pool.run(("describe",), deadline=soon()))["pid"]
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(DeadlineExceeded):
        await pool.run(("hash", bytes(64 << 20)), deadline=soon(0.05))
    await watcher.until(1, 0, 0)
    gc.collect()
    assert watcher.restarts == {"deadline": 1}
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.parametrize(("job", "restarts"), [("spin", {}), ("hang", {"cancelled": 1})])
async def test_cancellation_frees_the_worker(job, restarts, make):
    """A cancelled job stops at its next report; one that does not report is killed with its worker."""
    pool, watcher = await make()
    started = asyncio.Event()
    task = asyncio.create_task(pool.run((job,), deadline=soon(), on_progress=lambda _: started.set()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pool.run(("count", 2), deadline=soon()) == 2
    assert watcher.restarts == restarts


async def test_waiting_is_bounded(make):
    """Beyond the queue a job is refused at once; a waiting one can be cancelled or run into its deadline."""
    pool, watcher = await make(queue=2)
    running = asyncio.create_task(pool.run(("spin",), deadline=soon()))
    await watcher.until(0, 1, 0)
    first = asyncio.create_task(pool.run(("count", 1), deadline=soon(0.2)))
    second = asyncio.create_task(pool.run(("count", 1), deadline=soon()))
    await watcher.until(0, 1, 2)
    with pytest.raises(Overloaded):
        await pool.run(("count", 1), deadline=soon())
    with pytest.raises(DeadlineExceeded) as caught:
        await first
    assert caught.value.stage == "queue"
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert watcher.states[-1] == (0, 1, 0)
    third = asyncio.create_task(pool.run(("count", 1), deadline=soon()))
    await watcher.until(0, 1, 1)
    running.cancel()
    assert await third == 1
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await watcher.until(1, 0, 0)


async def test_waiting_jobs_run_in_turn(make):
    """Who waits longest goes first."""
    pool, _ = await make(workers=1, queue=10)
    order: list[int] = []

    async def run(number: int) -> None:
        await pool.run(("count", 5), deadline=soon())
        order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(run(number))
    assert order == list(range(6))


async def test_memory_is_limited(make):
    """A job that wants more memory than a worker may have fails alone, and its worker is replaced."""
    pool, watcher = await make(bounds=Bounds(memory_bytes=1 << 30))
    with pytest.raises(WorkerCrashed, match="memory"):
        await pool.run(("allocate",), deadline=soon())
    assert await pool.run(("count", 2), deadline=soon()) == 2
    assert watcher.restarts == {"memory": 1}


async def test_a_job_that_does_not_pickle_is_the_callers_mistake(make):
    """What pickling raises comes back, and the worker is free again."""
    pool, watcher = await make()
    with pytest.raises(TypeError):
        await pool.run(("count", threading.Lock()), deadline=soon())
    assert await pool.run(("count", 1), deadline=soon()) == 1
    assert not watcher.restarts


@pytest.mark.parametrize(
    ("factory", "reason"), [("refuse_to_build", "detector.onnx is missing"), ("die_while_building", "status 7")]
)
async def test_a_factory_that_fails_is_told_at_start(factory, reason, jobs):
    """The pool does not start without its handler, and says why."""
    pool = WorkerPool(getattr(jobs, factory), workers=2, queue=1)
    with pytest.raises(ConfigurationError, match=reason):
        await pool.start()
    assert pool.alive == 0


async def test_closing_drains(make):
    """Accepted jobs finish within the drain time, later ones are refused, and no process stays."""
    pool, watcher = await make()
    pid = (await pool.run(("describe",), deadline=soon()))["pid"]
    accepted = [asyncio.create_task(pool.run(("count", 100), deadline=soon())) for _ in range(2)]
    await watcher.until(0, 1, 1)
    closing = asyncio.create_task(pool.close(20))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await pool.run(("count", 1), deadline=soon())
    assert await asyncio.gather(*accepted) == [100, 100]
    await closing
    assert gone(pid)


async def test_closing_ends_what_does_not_finish(make):
    """After the drain time running and waiting jobs are told that the service shuts down."""
    pool, watcher = await make()
    tasks = [asyncio.create_task(pool.run(("hang",), deadline=soon())) for _ in range(2)]
    await watcher.until(0, 1, 1)
    await pool.close(0.1)
    for task in tasks:
        with pytest.raises(Overloaded, match="shutting down"):
            await task


ORPHANS = """
import asyncio, sys, time
from server.pipeline.workers import WorkerPool
import worker_jobs

async def main():
    pool = WorkerPool(worker_jobs.build, workers=2, queue=0)
    await pool.start()
    busy = asyncio.create_task(pool.run(("hang",), deadline=time.monotonic() + 60))
    idle = await pool.run(("describe",), deadline=time.monotonic() + 60)
    print(*(process.pid for process in pool._processes), flush=True)
    await busy

asyncio.run(main())
"""


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie that nobody reaps counts)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_worker_outlives_the_gateway():
    """When the gateway is killed, idle and busy workers vanish."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
    gateway = subprocess.Popen([sys.executable, "-c", ORPHANS], env=environment, stdout=subprocess.PIPE, text=True)
    with gateway:
        assert gateway.stdout is not None
        pids = [int(word) for word in gateway.stdout.readline().split()]
        assert len(pids) == 2
        assert not any(gone(pid) for pid in pids)
        gateway.kill()
    deadline = soon(10)
    pause = threading.Event()
    while not all(gone(pid) for pid in pids):
        assert time.monotonic() < deadline, "workers outlived the gateway"
        pause.wait(0.02)
