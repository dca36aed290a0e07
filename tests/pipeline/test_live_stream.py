"""One live stream in the gateway, with a worker that is slow, fails, hangs or dies."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace

import pytest

from server.errors import BackendUnavailable, DeadlineExceeded, GlimpseError, MediaError, WorkerCrashed
from server.pipeline.base import Observer
from server.pipeline.live_jobs import Looked
from server.pipeline.live_stream import LiveStream
from server.pipeline.live_tally import Tally
from server.pipeline.live_teller import Teller
from server.streams import (
    Candidate,
    FrameDropped,
    FrameRefused,
    FrameResult,
    LiveEvent,
    Onset,
    StreamOptions,
    StreamStats,
    Withdrawn,
)
from server.telemetry.metrics import Metrics
from tests.pipeline.conftest import FakeProcess, look, picture, policy, told

ANSWERS = (FrameResult, FrameDropped, FrameRefused)


class Driven:
    """A stream with its task, and everything that it has said so far."""

    def __init__(self, process, served, predictor, options=None, bounds=None, teller=None):
        observer: Observer = Metrics()
        self.stream = LiveStream(
            process=process,
            teller=teller or Teller(predictor, served, observer, inference_s=5.0),
            served=served,
            options=options or StreamOptions(),
            policy=bounds or policy(),
            tally=Tally(observer),
        )
        self.said = []
        self.failure = None
        self.work = asyncio.create_task(self.stream.run())

    async def read(self):
        """Everything until the end."""
        try:
            async for reply in self.stream.replies():
                self.said.append(reply)
        except GlimpseError as error:
            self.failure = error
        return self

    async def play(self, count):
        """That many pictures, and all that comes back."""
        reading = asyncio.create_task(self.read())
        for index in range(count):
            await self.stream.offer(picture(index))
        await self.stream.finish()
        return await reading

    @property
    def answers(self):
        """One for each picture."""
        return [reply for reply in self.said if isinstance(reply, ANSWERS)]

    @property
    def steps(self):
        """What became of movements."""
        return [reply for reply in self.said if not isinstance(reply, (*ANSWERS, StreamStats))]

    def check(self, count):
        """One answer for each picture, in order, and statistics that add up, as the last word."""
        stats = self.said[-1]
        assert isinstance(stats, StreamStats)
        assert [answer.index for answer in self.answers] == list(range(count))
        assert [answer.capture_us for answer in self.answers] == [10_000 * index for index in range(count)]
        kinds = Counter(type(reply) for reply in self.said)
        assert stats.received == count == stats.analysed + stats.dropped + stats.refused
        assert (stats.analysed, stats.dropped, stats.refused) == tuple(kinds[kind] for kind in ANSWERS)
        assert (stats.events, stats.withdrawn) == (kinds[LiveEvent], kinds[Withdrawn])
        ended = {reply.movement for reply in self.steps if isinstance(reply, LiveEvent | Withdrawn)}
        assert ended == {reply.movement for reply in self.steps if isinstance(reply, Onset)}
        return stats


@pytest.fixture
def drive(served, predictor):
    """Opens streams."""

    def begin(process, **options):
        return Driven(process, served, predictor, **options)

    return begin


@pytest.mark.parametrize("kind", ["wait", "drop_oldest", "drop_latest"])
async def test_each_picture_has_one_answer_in_order(drive, kind):
    """Under each policy, however many come at once, every picture is answered once, in the order of coming."""
    driven = await drive(FakeProcess(), options=StreamOptions(policy=kind)).play(300)
    stats = driven.check(300)
    assert driven.failure is None
    assert stats.dropped == 0 or kind != "wait"
    assert stats.model.name == "flow"


@pytest.mark.parametrize(("kind", "kept"), [("drop_oldest", range(32, 40)), ("drop_latest", range(8, 16))])
async def test_a_slow_worker_costs_pictures_by_the_policy(drive, kind, kept):
    """While the worker is busy with the first, the buffer keeps the newest or the oldest, and says which went."""
    process = FakeProcess(held=True)
    driven = drive(process, options=StreamOptions(policy=kind), bounds=policy(buffer_frames=8))
    reading = asyncio.create_task(driven.read())
    for index in range(8):
        await driven.stream.offer(picture(index))
    await process.asked.wait()
    for index in range(8, 40):
        await driven.stream.offer(picture(index))
    assert driven.said == []
    await driven.stream.finish()
    process.go_on.set()
    await reading
    driven.check(40)
    analysed = [answer.index for answer in driven.answers if isinstance(answer, FrameResult)]
    assert analysed == [*range(8), *kept]
    reasons = {answer.reason for answer in driven.answers if isinstance(answer, FrameDropped)}
    assert reasons == {kind.removeprefix("drop_")}


async def test_the_sender_waits(drive):
    """Under `wait` a full buffer holds the sender back until the worker has taken from it, and nothing is dropped."""
    process = FakeProcess(held=True)
    driven = drive(process, options=StreamOptions(policy="wait"), bounds=policy(buffer_frames=4))
    offered = []

    async def send():
        for index in range(60):
            await driven.stream.offer(picture(index))
            offered.append(index)
        await driven.stream.finish()

    sending, reading = asyncio.create_task(send()), asyncio.create_task(driven.read())
    await process.asked.wait()
    await _settled(lambda: len(offered))
    assert len(offered) <= 8 + 4
    process.go_on.set()
    await asyncio.gather(sending, reading)
    assert driven.check(60).analysed == 60


async def _settled(count):
    """Until nothing more happens by itself."""
    before, still = count(), 0
    while still < 20:
        await asyncio.sleep(0)
        still = still + 1 if count() == before else 0
        before = count()


@pytest.mark.parametrize("kind", ["wait", "drop_oldest", "drop_latest"])
async def test_what_nobody_reads_is_bounded(drive, kind):
    """A client that sends and never reads is held back under any policy, and its stream ends."""
    driven = drive(FakeProcess(), options=StreamOptions(policy=kind), bounds=policy(idle_s=0.05))
    offered = []

    async def send():
        for index in range(5000):
            await driven.stream.offer(picture(index, size=1000))
            offered.append(index)

    sending = asyncio.create_task(send())
    await _settled(lambda: len(offered))
    assert len(offered) < 700
    await driven.work
    await sending
    await driven.read()
    assert isinstance(driven.failure, DeadlineExceeded)
    assert "no reply was read" in str(driven.failure)
    driven.check(driven.said[-1].received)
    assert driven.said[-1].received < 700


async def test_pictures_that_are_answered_keep_no_bytes(drive):
    """A dropped picture whose answer waits for one before it holds its place, not its bytes."""
    process = FakeProcess(held=True)
    driven = drive(process, bounds=policy(buffer_frames=2))
    await driven.stream.offer(picture(0))
    await process.asked.wait()
    for index in range(1, 200):
        await driven.stream.offer(picture(index, size=1000))
    held = sum(slot.size for slot in driven.stream._order)
    assert held <= 8 * 1000 + 100
    driven.work.cancel()


async def test_a_stream_without_pictures_is_idle(drive):
    """A client that goes silent is told so, with the setting, and gets its statistics all the same."""
    driven = drive(FakeProcess(), bounds=policy(idle_s=0.02))
    await driven.stream.offer(picture(0))
    await driven.read()
    assert isinstance(driven.failure, DeadlineExceeded)
    assert "GLIMPSE_LIVE__IDLE_SECONDS" in str(driven.failure)
    driven.check(1)


async def test_a_hung_worker_ends_the_stream(drive):
    """A picture that a worker never answers does not hold the stream: every picture is refused, and the stream ends."""
    driven = drive(FakeProcess(held=True), bounds=policy(answer_s=0.02))
    for index in range(12):
        await driven.stream.offer(picture(index))
    await driven.read()
    assert isinstance(driven.failure, DeadlineExceeded)
    assert driven.check(12).refused == 12
    assert not any(answer.goes_on for answer in driven.answers)


async def test_a_dead_worker_ends_the_stream(drive):
    """What the worker did not answer is refused with its code, what was told is withdrawn, the error comes last."""
    frames = {3: (told("onset"), told("candidate")), 4: (told("onset", 2),)}
    process = FakeProcess(
        look=lambda frame: replace(look(frame), told=frames.get(frame.index, ())),
        error=WorkerCrashed("The process died."),
        fails_at=8,
    )
    driven = drive(process)
    reading = asyncio.create_task(driven.read())
    for index in range(16):
        await driven.stream.offer(picture(index))
    await reading
    stats = driven.check(16)
    assert (stats.analysed, stats.refused, stats.withdrawn) == (8, 8, 2)
    assert {(answer.code, answer.goes_on) for answer in driven.answers[8:]} == {("worker-crashed", False)}
    assert [(x.movement, x.reason) for x in driven.steps if isinstance(x, Withdrawn)] == [
        (1, "stream-ended"),
        (2, "stream-ended"),
    ]
    assert isinstance(driven.failure, WorkerCrashed)


async def test_a_defect_ends_the_stream_with_an_answer(drive, caplog):
    """Whatever a worker's answer breaks, the client is told, and the log holds where but not what."""
    process = FakeProcess(error=ValueError("secret"), fails_at=2)
    with caplog.at_level(logging.ERROR):
        driven = await drive(process, options=StreamOptions(policy="wait")).play(5)
    driven.check(5)
    assert driven.failure is not None
    assert driven.failure.code == "internal"
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


async def test_too_few_answers_are_a_defect(drive, caplog):
    """A worker that answers fewer pictures than it got leaves none without an answer."""

    class Short(FakeProcess):
        async def run(self, job, _):
            return (await super().run(job, _))[:-1]

    with caplog.at_level(logging.CRITICAL):
        driven = await drive(Short(), options=StreamOptions(policy="wait")).play(20)
    driven.check(20)
    assert driven.failure is not None


async def test_refused_pictures_are_answers(drive):
    """One that cannot be read is refused, the stream goes on."""
    process = FakeProcess(look=lambda frame: _refused(frame) if frame.index % 3 == 0 else look(frame))
    driven = await drive(process, options=StreamOptions(policy="wait")).play(90)
    assert driven.check(90).refused == 30
    assert driven.failure is None
    assert all(answer.goes_on for answer in driven.answers if isinstance(answer, FrameRefused))


def _refused(frame):
    return Looked(FrameRefused(frame.index, frame.capture_us, "invalid-input", "no picture", goes_on=True))


async def test_nothing_but_refusals_ends_the_stream(drive):
    """Twenty in a row are no camera: the twentieth says that the stream is over, and so do those that wait."""
    driven = await drive(FakeProcess(look=_refused), options=StreamOptions(policy="wait")).play(40)
    driven.check(driven.said[-1].received)
    goes_on = [answer.goes_on for answer in driven.answers if isinstance(answer, FrameRefused)]
    assert goes_on[:19] == [True] * 19
    assert not any(goes_on[19:])
    assert isinstance(driven.failure, MediaError)
    assert "no picture" in str(driven.failure)


async def test_steps_are_told_with_the_models_answer(drive, predictor):
    """Onset, candidate, event with a class: counted, and the model is asked once."""
    steps = {2: (told("onset"),), 4: (told("candidate"),), 6: (told("event"),)}
    process = FakeProcess(look=lambda frame: replace(look(frame), told=steps.get(frame.index, ())))
    driven = await drive(process, options=StreamOptions(policy="wait")).play(10)
    assert driven.check(10).events == 1
    onset, candidate, event = driven.steps
    assert (type(onset), type(candidate), type(event)) == (Onset, Candidate, LiveEvent)
    assert event.event.label == "negative"
    assert len(predictor.calls) == 1


async def test_an_error_in_the_teller_costs_one_movement(drive, served, predictor, caplog):
    """A defect while a movement is told withdraws it; others, and the pictures, go on."""

    class Broken(Teller):
        async def tell(self, step):
            if step.movement == 1 and step.step == "candidate":
                raise KeyError("secret")
            return await super().tell(step)

    steps = {
        2: (told("onset"), told("onset", 2)),
        4: (told("candidate"), told("candidate", 2)),
        6: (told("event"), told("event", 2)),
    }
    process = FakeProcess(look=lambda frame: replace(look(frame), told=steps.get(frame.index, ())))
    teller = Broken(predictor, served, Metrics(), inference_s=5.0)
    with caplog.at_level(logging.ERROR):
        driven = await drive(process, teller=teller, options=StreamOptions(policy="wait")).play(10)
    stats = driven.check(10)
    assert (stats.events, stats.withdrawn, driven.failure) == (1, 1, None)
    assert [type(x) for x in driven.steps if x.movement == 1] == [Onset, Withdrawn]
    assert "secret" not in caplog.text


async def test_a_backend_that_fails_withdraws_the_event(drive, predictor):
    """Without a class there is no event: the movement ends as not classified."""
    predictor.error = BackendUnavailable("down")
    steps = {2: (told("onset"), told("candidate"), told("event"))}
    process = FakeProcess(look=lambda frame: replace(look(frame), told=steps.get(frame.index, ())))
    driven = await drive(process, options=StreamOptions(policy="wait")).play(5)
    *_, withdrawn = driven.steps
    assert withdrawn.reason == "not-classified"
    driven.check(5)


async def test_steps_that_wait_for_a_slow_model_are_bounded(drive, served, predictor):
    """While the model is asked, pictures wait rather than steps of movements pile up."""
    answer = asyncio.Event()

    class Slow(Teller):
        async def tell(self, step):
            await answer.wait()
            return await super().tell(step)

    process = FakeProcess(look=lambda frame: replace(look(frame), told=(told("onset", frame.index + 1),)))
    driven = drive(process, teller=Slow(predictor, served, Metrics(), inference_s=5.0))
    reading = asyncio.create_task(driven.read())
    for index in range(300):
        await driven.stream.offer(picture(index))
        await asyncio.sleep(0)
    await driven.stream.finish()
    await _settled(lambda: len(process.jobs))
    assert driven.stream._told.qsize() <= 64
    answer.set()
    await reading
    assert driven.check(300).withdrawn == driven.said[-1].analysed


async def test_what_ends_with_the_stream_is_told(drive):
    """Movements that the worker takes back when the stream is closed are told before the statistics."""
    process = FakeProcess(
        look=lambda frame: replace(look(frame), told=(told("onset"),) if frame.index == 0 else ()),
        last=(told("withdrawn", reason="stream-ended"),),
    )
    driven = await drive(process, options=StreamOptions(policy="wait")).play(3)
    assert [type(step) for step in driven.steps] == [Onset, Withdrawn]
    driven.check(3)


async def test_pictures_after_the_end_are_dropped(drive):
    """What is offered after `finish` is answered as closed; after the statistics nothing happens any more."""
    process = FakeProcess(held=True)
    driven = drive(process)
    await driven.stream.offer(picture(0))
    await process.asked.wait()
    await driven.stream.finish()
    await driven.stream.offer(picture(1))
    process.go_on.set()
    await driven.read()
    driven.check(2)
    assert driven.answers[1].reason == "closed"
    await driven.stream.offer(picture(2))
    assert driven.stream._replies.empty()


@pytest.mark.parametrize("moment", ["at once", "opening", "busy", "idle", "unread", "telling"])
async def test_an_abandoned_stream_ends_whatever_it_does(drive, served, predictor, moment):
    """Cancelled at any point, the stream lets go of who offers and who reads, and leaves no task behind."""

    class Stuck(Teller):
        async def tell(self, step):
            await asyncio.Event().wait()

    process = FakeProcess(held=moment in ("busy", "opening"))
    if moment == "telling":
        process.look = lambda frame: replace(look(frame), told=(told("onset"),))
    teller = Stuck(predictor, served, Metrics(), inference_s=5.0) if moment == "telling" else None
    driven = drive(process, options=StreamOptions(policy="wait"), teller=teller)
    before = asyncio.all_tasks() - {driven.work}

    async def send():
        for index in range(0 if moment == "idle" else 2000):
            await driven.stream.offer(picture(index))

    sending = asyncio.create_task(send())
    reading = None if moment == "unread" else asyncio.create_task(driven.read())
    if moment != "at once":
        await _settled(lambda: len(process.jobs))
    if moment == "telling":
        await driven.stream.finish()
        await _settled(lambda: len(process.jobs))
    driven.work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await driven.work
    if moment != "at once":
        await asyncio.wait_for(sending, 5)
        if reading is not None:
            await asyncio.wait_for(reading, 5)
    else:
        sending.cancel()
        assert reading is not None
        reading.cancel()
    await _settled(lambda: len(asyncio.all_tasks()))
    assert asyncio.all_tasks() <= before


async def test_the_worker_has_the_next_pictures_before_it_answers(drive):
    """Two messages of four pictures are with a worker at a time, so that it need not wait for the gateway."""
    process = FakeProcess(held=True)
    driven = drive(process, options=StreamOptions(policy="wait"))
    reading = asyncio.create_task(driven.read())
    for index in range(16):
        await driven.stream.offer(picture(index))
    await _settled(lambda: len(process.jobs))
    assert [len(job.frames) for job in process.jobs[1:]] == [4, 4]
    await driven.stream.finish()
    process.go_on.set()
    await reading
    assert driven.check(16).analysed == 16
