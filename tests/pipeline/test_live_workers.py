"""Processes for live streams, with real ones."""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from server.errors import ConfigurationError, Overloaded, WorkerCrashed
from server.pipeline.live_worker import LiveStages
from server.pipeline.live_workers import LiveWorkers

HERE = Path(__file__).parent


@pytest.fixture
def jobs(monkeypatch):
    """The handlers, importable in the workers, too."""
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("worker_jobs")


@pytest.fixture
async def make(jobs):
    """Makes sets of workers and closes them after the test."""
    made = []

    def begin(most=2, factory=None):
        workers = LiveWorkers(factory or jobs.build, most=most)
        made.append(workers)
        return workers

    yield begin
    for workers in made:
        await workers.close()
        assert not workers._processes


async def _gone(process):
    await asyncio.wait_for(asyncio.shield(process.exited), 20)
    assert process.ending in ("shutdown", "crash")


async def test_a_stream_has_a_process_of_its_own(make):
    """Two streams at a time have two processes, which answer, and which end with their streams."""
    workers = make()
    await workers.start()
    async with workers.borrow() as one, workers.borrow() as other:
        assert workers.lent == 2
        assert await one.run(("count", 3), None) == 3
        assert await other.run(("count", 4), None) == 4
        assert one.pid != other.pid
    assert workers.lent == 0
    await _gone(one)
    await _gone(other)


async def test_no_two_streams_share_a_process(make):
    """Where only one may run, the next stream has a new one all the same."""
    workers = make(most=1)
    pids = []
    for _ in range(3):
        async with workers.borrow() as process:
            pids.append((await process.run(("describe",), None))["pid"])
    assert len(set(pids)) == 3


async def test_what_found_out_the_cost_of_a_frame_waits_for_the_first_stream(make):
    """It has looked at a drawn face and at nobody's, so no other process is started for that stream."""
    workers = make(factory=LiveStages)
    await workers.start()
    ready = await asyncio.shield(workers._spare)
    assert await workers.frame_cost_s() > 0
    async with workers.borrow() as process:
        assert process is ready


async def test_one_waits_ready(make):
    """While there is room for one more stream, its process is started before it comes."""
    workers = make()
    await workers.start()
    async with workers.borrow() as first:
        spare = await asyncio.shield(workers._spare)
        assert spare is not first
        async with workers.borrow() as second:
            assert second is spare
            assert workers._spare is None


async def test_one_more_than_there_may_be_is_refused(make):
    """Also of those who come at the same time, before any process is ready."""
    workers = make(most=2)

    async def borrow(release):
        async with workers.borrow():
            await release.wait()

    release = asyncio.Event()
    tasks = [asyncio.create_task(borrow(release)) for _ in range(5)]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    assert all(isinstance(task.exception(), Overloaded) for task in done)
    await asyncio.sleep(0)
    assert workers.lent == 2
    release.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, Overloaded) for result in results) == 3
    assert workers.lent == 0


async def test_a_spare_that_died_is_replaced(make, caplog):
    """Who comes after the process that waited was killed gets another one."""
    workers = make()
    await workers.start()
    spare = workers._spare.result()
    with caplog.at_level(logging.CRITICAL):
        os.kill(spare.pid, signal.SIGKILL)
        await _gone(spare)
        async with workers.borrow() as process:
            assert process is not spare
            assert await process.run(("count", 1), None) == 1


async def test_a_worker_that_cannot_be_built_is_said(make, jobs, caplog):
    """At the start and to each stream, and it takes no place."""
    with caplog.at_level(logging.CRITICAL):
        workers = make(factory=jobs.refuse_to_build)
        with pytest.raises(ConfigurationError, match=r"detector\.onnx"):
            await workers.start()
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=r"detector\.onnx"):
                async with workers.borrow():
                    pass
    assert workers.lent == 0


async def test_a_failure_while_nobody_waited_says_nothing(make, jobs, caplog):
    """A spare that could not be started a while ago does not refuse a stream that could be served now."""
    workers = make(factory=jobs.refuse_to_build)
    with caplog.at_level(logging.CRITICAL):
        await asyncio.wait({workers._next()})
        workers._factory = make()._factory
        async with workers.borrow() as process:
            assert await process.run(("count", 2), None) == 2


async def test_leaving_ends_a_worker_that_hangs(make):
    """A job that never ends does not outlast its stream."""
    workers = make(most=1)
    async with workers.borrow() as process:
        job = asyncio.create_task(process.run(("hang",), None))
        await asyncio.sleep(0)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
    await _gone(process)
    async with workers.borrow() as process:
        assert await process.run(("count", 1), None) == 1


async def test_who_gives_up_waiting_leaves_no_process_behind(make):
    """A stream that is cancelled before its process is ready leaves it to the next one."""
    workers = make(most=2)
    waiting = [asyncio.create_task(workers.borrow().__aenter__()) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert workers.lent == 0
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(workers.borrow())
        assert await process.run(("count", 1), None) == 1
        if workers._spare is not None:
            await asyncio.shield(workers._spare)
        assert len([each for each in workers._processes if not each.ending]) <= 2


async def test_closing_ends_everything(make):
    """Streams that run are told that the service shuts down, nobody gets a process any more, none is left."""
    workers = make()
    await workers.start()
    async with workers.borrow() as process:
        job = asyncio.create_task(process.run(("hang",), None))
        await asyncio.sleep(0)
        await workers.close()
        with pytest.raises(Overloaded, match="shutting down"):
            await job
        with pytest.raises(Overloaded, match="shutting down"):
            async with workers.borrow():
                pass
    await _gone(process)
    assert not workers._processes


async def test_closing_refuses_who_waits(make):
    """A stream whose process is being started is refused, as one for which there is no room any more."""
    workers = make()
    waiting = asyncio.create_task(workers.borrow().__aenter__())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await workers.close()
    with pytest.raises(Overloaded, match="shutting down"):
        await waiting
    assert not workers._processes


async def test_jobs_may_follow_each_other(make):
    """Jobs that are given before the first is answered are answered in their order, each with its own result."""
    workers = make()
    async with workers.borrow() as process:
        answered = []

        async def ask(number):
            length, _ = await process.run(("hash", bytes(number)), None)
            answered.append(length)

        await asyncio.gather(*(ask(number) for number in (500_000, 1, 100_000, 2)))
        assert answered == [500_000, 1, 100_000, 2]
        assert not process.busy


async def test_a_process_that_dies_while_it_begins_costs_no_stream(make, jobs, tmp_path):
    """Somebody else may have killed it; the stream that waits for it gets the next one."""
    workers = make(factory=functools.partial(jobs.build_the_second_time, str(tmp_path / "mark")), most=1)
    async with workers.borrow() as process:
        assert await process.run(("count", 3), None) == 3


async def test_a_death_fails_every_job_that_has_no_answer(make):
    """Nobody waits for ever for a process that has died."""
    workers = make()
    async with workers.borrow() as process:
        jobs = [asyncio.create_task(process.run(("hang",), None)) for _ in range(3)]
        await asyncio.sleep(0)
        os.kill(process.pid, signal.SIGKILL)
        failures = await asyncio.gather(*jobs, return_exceptions=True)
        assert all(isinstance(failure, WorkerCrashed) for failure in failures)
