"""Admission of live streams, and what is given back when."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from server.errors import ConfigurationError, DeadlineExceeded, OptionError, Overloaded
from server.pipeline.live import LivePipeline
from server.streams import FrameResult, StreamOptions, StreamStats
from server.telemetry.metrics import Metrics
from tests.pipeline.conftest import FakeProcess, picture, policy


@dataclass
class FakeWorkers:
    """Lends the processes of the test, in their order."""

    processes: list[FakeProcess]
    error: Exception | None = None
    lent: list[FakeProcess] = field(default_factory=list)
    asked: int = 0

    @asynccontextmanager
    async def borrow(self):
        """One process."""
        self.asked += 1
        if self.error is not None:
            raise self.error
        process = self.processes.pop(0)
        self.lent.append(process)
        try:
            yield process
        finally:
            self.lent.remove(process)


def _pipeline(predictor, *processes, error=None, **bounds):
    workers = FakeWorkers(list(processes), error)
    made = LivePipeline(
        predictor=predictor, workers=workers, policy=policy(**bounds), observer=Metrics(), default_model="flow"
    )
    return made, workers


async def _play(stream, count):
    async def send():
        for index in range(count):
            await stream.offer(picture(index))
        await stream.finish()

    sending = asyncio.create_task(send())
    said = [reply async for reply in stream.replies()]
    await sending
    return said


async def test_a_stream_from_open_to_its_statistics(predictor, served):
    """Pictures in, one answer each, statistics last, and everything given back."""
    pipeline, workers = _pipeline(predictor, FakeProcess())
    async with pipeline.open(StreamOptions(policy="wait")) as stream:
        assert pipeline.streams == 1
        said = await _play(stream, 50)
    assert [reply.index for reply in said[:-1]] == list(range(50))
    assert isinstance(said[-1], StreamStats)
    assert (pipeline.streams, workers.lent) == (0, [])


async def test_one_stream_too_many_is_refused_before_anything_is_taken(predictor, served):
    """The refusal names the setting, costs no process, and disturbs no stream; a place that is free again is given."""
    pipeline, workers = _pipeline(predictor, FakeProcess(), FakeProcess(), max_streams=1)
    async with pipeline.open(StreamOptions(policy="wait")) as stream:
        with pytest.raises(Overloaded, match="GLIMPSE_LIVE__MAX_STREAMS"):
            async with pipeline.open(StreamOptions()):
                pass
        assert workers.asked == 1
        assert len(await _play(stream, 20)) == 21
    async with pipeline.open(StreamOptions()):
        assert workers.asked == 2


async def test_frames_per_second_are_admitted_together(predictor, served):
    """Streams are let in while what they announce fits; one alone may announce more than that."""
    pipeline, workers = _pipeline(predictor, *(FakeProcess() for _ in range(4)), frames_per_s=100.0)
    async with pipeline.open(StreamOptions(frame_rate=60)), pipeline.open(StreamOptions(frame_rate=40)):
        with pytest.raises(Overloaded, match="GLIMPSE_LIVE__FRAMES_PER_SECOND"):
            async with pipeline.open(StreamOptions(frame_rate=1)):
                pass
        assert workers.asked == 2
    async with pipeline.open(StreamOptions(frame_rate=200)):
        pass


@pytest.mark.parametrize("frame_rate", [0.0, -30.0, float("nan"), float("inf")])
async def test_a_rate_that_is_none_is_refused(predictor, served, frame_rate):
    """A rate that would make admission blind is an error of the option, and takes nothing."""
    pipeline, workers = _pipeline(predictor)
    with pytest.raises(OptionError, match="frame_rate"):
        async with pipeline.open(StreamOptions(frame_rate=frame_rate)):
            pass
    assert (pipeline.streams, workers.asked) == (0, 0)


async def test_no_kind_of_event_is_refused(predictor, served):
    """A stream that wants neither micro- nor macro-expressions is a mistake."""
    pipeline, _ = _pipeline(predictor)
    with pytest.raises(OptionError, match="kinds"):
        async with pipeline.open(StreamOptions(kinds=frozenset())):
            pass


async def test_a_process_that_cannot_be_had_takes_no_place(predictor, served):
    """When no worker can be started the stream is not open."""
    pipeline, _ = _pipeline(predictor, error=ConfigurationError("no networks"))
    with pytest.raises(ConfigurationError):
        async with pipeline.open(StreamOptions()):
            pass
    assert pipeline.streams == 0


async def test_a_stream_that_is_left_frees_its_worker(predictor, served):
    """A client that vanishes while its worker computes gives process and place back at once."""
    process = FakeProcess(held=True)
    pipeline, workers = _pipeline(predictor, process)
    async with pipeline.open(StreamOptions()) as stream:
        await stream.offer(picture(0))
        await process.asked.wait()
    assert (pipeline.streams, workers.lent) == (0, [])


async def test_a_stream_that_is_left_before_it_began_frees_its_worker(predictor, served):
    """So does one that is left before its task ran once."""
    pipeline, workers = _pipeline(predictor, FakeProcess())
    async with pipeline.open(StreamOptions()):
        pass
    assert (pipeline.streams, workers.lent) == (0, [])


async def test_cancellation_passes_through(predictor, served):
    """Who holds a stream open and is cancelled stays cancelled, and nothing stays taken."""
    process = FakeProcess(held=True)
    pipeline, workers = _pipeline(predictor, process)

    async def hold():
        async with pipeline.open(StreamOptions()) as stream:
            await stream.offer(picture(0))
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await process.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (pipeline.streams, workers.lent) == (0, [])


async def test_an_error_of_the_client_passes_through(predictor, served):
    """Whatever the block raises comes out of it."""
    pipeline, workers = _pipeline(predictor, FakeProcess())
    with pytest.raises(ZeroDivisionError):
        async with pipeline.open(StreamOptions()):
            raise ZeroDivisionError
    assert (pipeline.streams, workers.lent) == (0, [])


async def test_an_idle_stream_frees_its_worker_while_it_is_held(predictor, served):
    """A stream that was closed for its silence costs nothing more, even where nobody has read why."""
    pipeline, workers = _pipeline(predictor, FakeProcess(), FakeProcess(), idle_s=0.02, max_streams=1)
    async with pipeline.open(StreamOptions()) as stream:
        with pytest.raises(DeadlineExceeded):
            async for _ in stream.replies():
                pass
        for _ in range(20):
            await asyncio.sleep(0)
        assert (pipeline.streams, workers.lent) == (0, [])
        async with pipeline.open(StreamOptions()):
            assert len(workers.lent) == 1


async def test_a_slow_stream_does_not_slow_another(predictor, served):
    """While one stream's worker has not answered its first picture, another one is answered to its end."""
    slow, fast = FakeProcess(held=True), FakeProcess()
    pipeline, _ = _pipeline(predictor, slow, fast)
    options = StreamOptions(policy="wait")
    async with pipeline.open(options) as first, pipeline.open(options) as second:
        waiting = asyncio.create_task(_play(first, 100))
        await slow.asked.wait()
        said = await _play(second, 100)
        assert sum(isinstance(reply, FrameResult) for reply in said) == 100
        assert not waiting.done()
        slow.go_on.set()
        assert len(await waiting) == 101
