"""One run over a corpus: how many clips at a time, and what ends it."""

import asyncio

import pytest

from server.bulk.engines import LocalEngine
from server.bulk.outcomes import Work
from server.bulk.pace import Pace, shown
from server.bulk.results import Results
from server.bulk.run import Run
from server.errors import BackendUnavailable, ConfigurationError
from server.pipeline.workers import WorkerPool
from server.sandbox.confinement import Bounds
from server.types import AnalyzeOptions
from tests.bulk.conftest import Saying, clips_of, content_of, look
from tests.conftest import REF, report
from tests.pipeline.worker_jobs import build


async def test_all_slots_are_used_and_no_more(corpus, out):
    """As many clips are under way as the engine takes."""
    for number in range(20):
        (corpus / f"more {number}.mp4").write_text(f"face {number}")
    engine = Saying(slots=4)
    assert (await look(out, corpus, engine))[0]
    assert (engine.most, len(engine.analysed)) == (4, 24)


async def test_a_clip_that_is_named_twice_is_looked_at_once(corpus, out):
    """Inputs may overlap."""
    engine = Saying()
    with Results(out) as results:
        pace = Pace(results.enqueue([*clips_of(corpus), *clips_of(corpus)]))
        assert await Run(engine, results, pace, lambda: None)()
    assert pace.total == 5
    assert len(engine.analysed) == 4


async def test_what_is_under_way_is_finished_when_a_run_is_stopped(corpus, out):
    """No further clip begins; what was begun is recorded, and the next run does the rest."""
    with Results(out) as results:
        results.begin({})
        pace = Pace(results.enqueue(clips_of(corpus)))

        async def stopping(_):
            run.stop()

        engine = Saying(slots=2, before=stopping)
        run = Run(engine, results, pace, lambda: None)
        assert not await run()
        begun = pace.analysed + pace.failed
        assert 0 < begun < 5
    _, rest, _ = await look(out, corpus, Saying(), manifest={"model": None})
    assert (rest.done, rest.analysed + rest.failed) == (begun, 5 - begun)


async def test_a_failure_ends_the_run_where_that_was_asked_for(corpus, out):
    """It is recorded, and clips behind it are left."""
    complete, pace, summary = await look(out, corpus, Saying(slots=1), fail_fast=True)
    assert not complete
    assert (pace.analysed, pace.failed, sum(summary.failures.values())) == (0, 1, 1)


@pytest.mark.parametrize("error", [BackendUnavailable("Triton is away"), ConfigurationError("no repository")])
async def test_what_no_clip_is_to_blame_for_ends_the_run(error, corpus, out):
    """It is recorded of no clip, what was done is kept, and the next run looks at the rest."""

    async def failing(content):
        if content == b"face of b":
            raise error

    with pytest.raises(type(error), match=str(error)):
        await look(out, corpus, Saying(slots=1, before=failing))
    complete, pace, summary = await look(out, corpus, Saying())
    assert complete
    assert (pace.done, summary.clips, sum(summary.failures.values())) == (3, 3, 2)


async def test_cancelled_a_run_keeps_what_was_recorded(corpus, out):
    """A second signal ends at once: nothing of what is under way, everything of what was done."""
    begun, never = asyncio.Event(), asyncio.Event()

    async def hanging(content):
        if content == b"face of a":
            begun.set()
            await never.wait()

    task = asyncio.create_task(look(out, corpus, Saying(slots=1, before=hanging)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    _, pace, _ = await look(out, corpus, Saying())
    assert (pace.done, pace.analysed) == (4, 1)
    assert content_of(out)["reports.jsonl"].count(b"\n") == 3


async def test_a_crash_costs_one_clip(tmp_path, out):
    """A worker process that dies of a clip is replaced, and the others are analysed."""
    for name, action in (("a", "count 3"), ("b", "die segfault"), ("c", "count 3"), ("d", "count 3")):
        (tmp_path / f"{name}.mp4").write_text(action)
    pool = WorkerPool(build, workers=1, queue=4, bounds=Bounds())
    await pool.start()
    try:
        engine = LocalEngine(_InWorkers(pool), REF, Work(AnalyzeOptions(), 60.0, 1000), 1)
        with Results(out) as results:
            results.begin({})
            paths = [(path.name, str(path).encode()) for path in sorted(tmp_path.glob("*.mp4"))]
            pace = Pace(results.enqueue(paths))
            assert await Run(engine, results, pace, lambda: None)()
            assert results.finish("jsonl", complete=True).failures == {"worker-crashed": 1}
            assert [failure["path"] for failure in results.failures()] == ["b.mp4"]
            assert pace.analysed == 3
    finally:
        await pool.close(0)


class _InWorkers:
    """An analyzer whose clips say what a worker process does."""

    def __init__(self, pool):
        self._pool = pool

    async def analyze(self, data, _, *, request_id, deadline):
        action, argument = data.decode().split()
        await self._pool.run((action, int(argument) if argument.isdigit() else argument), deadline=deadline)
        return report(request_id)


def test_the_pace_tells_rate_and_time_left():
    """Of what this run did: what was done before costs no time. A line now and then, and one at the end."""
    now = 100.0
    pace, lines = Pace(1000, clock=lambda: now), []
    with shown(pace, "plain", lines.append) as tell:
        pace.done = 500
        tell()
        assert lines == []
        now += 20
        pace.analysed, pace.failed, pace.film_s = 8, 2, 40.0
        tell()
        now += 5
        tell()
        pace.analysed = 498
        now += 975
        tell()
    assert lines == [
        "510 of 1000 clips, 2 failed, 0.50 clips/s, 2.0 s of film per second, 16 min left",
        "1000 of 1000 clips, 2 failed, 0.50 clips/s, 0.0 s of film per second",
    ]
