"""Who gets a live stream, and what becomes of it when its worker fails."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from server.errors import GlimpseError, ModelNotServable, OptionError, Overloaded, UnknownModel, WorkerCrashed
from server.media.limits import MediaLimits
from server.pipeline.live import LivePipeline, capacity
from server.pipeline.live_stream import LivePolicy
from server.streams import FrameRefused, LiveFrame, StreamOptions, StreamStats
from server.telemetry.metrics import Metrics
from server.testing import FakePredictor
from tests.pipeline.test_clip import _contract

POLICY = LivePolicy(
    max_streams=2,
    frames_per_s=100.0,
    idle_s=5.0,
    buffer_frames=4,
    buffer_bytes=2**20,
    store_bytes=2**20,
    max_faces=1,
    inference_s=1.0,
    limits=MediaLimits(60.0, 1000, 2**20),
)
FRAME = LiveFrame(0, 0, "jpeg", b"x")


class _Process:
    """Answers a job as it is told to: never, or with an error."""

    def __init__(self, error):
        self.error = error

    async def run(self, job, on_progress):
        if self.error is None:
            await asyncio.Event().wait()
        raise self.error


class _Workers:
    """Lends such processes, and counts."""

    def __init__(self, error=None):
        self.error, self.lent = error, 0

    @asynccontextmanager
    async def borrow(self):
        self.lent += 1
        yield _Process(self.error)


class _Guest(FakePredictor):
    """A predictor whose model lives elsewhere."""

    async def model(self, name, version=None):
        return replace(await super().model(name, version), backend="afar")


def _pipeline(workers=None, predictor=None, metrics=None, policy=POLICY, **shares):
    return LivePipeline(
        predictor=predictor or FakePredictor([_contract()]),
        workers=workers or _Workers(),
        policy=policy,
        observer=metrics or Metrics(),
        default_model="net",
        **shares,
    )


async def test_as_many_streams_as_are_served():
    """The next is refused with the setting, and let in when another has ended."""
    metrics = Metrics()
    pipeline = _pipeline(metrics=metrics)
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(pipeline.open(StreamOptions(frame_rate=10)))
        assert (pipeline.streams, pipeline.frames_per_s) == (2, 20)
        assert b"glimpse_live_streams 2.0" in metrics.exposition()[0]
        with pytest.raises(Overloaded, match=r"2 streams are open.*GLIMPSE_LIVE__MAX_STREAMS"):
            await held.enter_async_context(pipeline.open(StreamOptions()))
    assert pipeline.streams == 0
    async with pipeline.open(StreamOptions()) as stream:
        assert (stream.model.name, len(stream.regions)) == ("net", 17)


async def test_as_many_frames_as_the_machine_serves():
    """What all streams send together is bounded; one alone is let in at any rate, since it may drop frames."""
    pipeline = _pipeline()
    async with pipeline.open(StreamOptions(frame_rate=200)):
        with pytest.raises(Overloaded, match="GLIMPSE_LIVE__FRAMES_PER_SECOND"):
            async with pipeline.open(StreamOptions(frame_rate=1)):
                pytest.fail("opened")
    async with pipeline.open(StreamOptions(frame_rate=60)), pipeline.open(StreamOptions(frame_rate=40)):
        assert pipeline.frames_per_s == 100


async def test_one_caller_leaves_streams_and_frames_to_others():
    """With one stream it may take all frames, with several only its share; another caller still gets in."""
    callers = iter(["one", "one", "one", "other"])
    policy = replace(POLICY, max_streams=4)
    pipeline = _pipeline(policy=policy, tenant=lambda: next(callers), tenant_share=0.5)
    async with pipeline.open(StreamOptions(frame_rate=30)):
        with pytest.raises(Overloaded, match="GLIMPSE_LIVE__TENANT_SHARE"):
            async with pipeline.open(StreamOptions(frame_rate=30)):
                pytest.fail("opened")
        async with pipeline.open(StreamOptions(frame_rate=20)), pipeline.open(StreamOptions(frame_rate=50)):
            assert (pipeline.streams, pipeline.frames_per_s) == (3, 100)


@pytest.mark.parametrize(
    ("predictor", "options", "error"),
    [
        (None, StreamOptions(model="other"), UnknownModel),
        (None, StreamOptions(version="9"), UnknownModel),
        (_Guest([_contract()]), StreamOptions(), ModelNotServable),
        (None, StreamOptions(frame_rate=0), OptionError),
        (None, StreamOptions(kinds=frozenset()), OptionError),
    ],
    ids=["model", "version", "elsewhere", "rate", "kinds"],
)
async def test_what_cannot_be_answered_takes_no_process(predictor, options, error):
    """A model that is not there or lives elsewhere, and options that make no sense."""
    workers = _Workers()
    pipeline = _pipeline(workers, predictor)
    with pytest.raises(error):
        async with pipeline.open(options):
            pytest.fail("opened")
    assert (workers.lent, pipeline.streams) == (0, 0)


@pytest.mark.parametrize("error", [WorkerCrashed("died", stage="live"), RuntimeError("a defect")])
async def test_a_worker_that_fails_ends_its_stream_with_an_answer_to_every_frame(error):
    """Also where nobody foresaw how: who reads the replies does not wait for ever."""
    async with _pipeline(_Workers(error)).open(StreamOptions()) as stream:
        await stream.offer(FRAME)
        replies = stream.replies()
        told = [await anext(replies), await anext(replies)]
        with pytest.raises(GlimpseError):
            await anext(replies)
    assert [type(reply) for reply in told] == [FrameRefused, StreamStats]
    assert not told[0].goes_on


def test_most_of_the_machine_is_for_frames():
    """Twice the processors serve twice the frames, and some time is left for everything else."""
    assert capacity(0.005, 2) == 2 * capacity(0.005, 1)
    assert capacity(0.005, 1) < 200
