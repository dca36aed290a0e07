"""Live streams over real sockets: replies in order, refusals, broken connections."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import grpc
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from client import (
    AsyncClient,
    Candidate,
    ClientError,
    DeadlineExceeded,
    ForeignAnswer,
    FrameDropped,
    FrameError,
    FrameRefused,
    FrameResult,
    Onset,
    Overloaded,
    Reconnected,
    RequestRefused,
    Retry,
    ServiceFailed,
    SourceError,
    StreamEvent,
    StreamLost,
    StreamOptions,
    StreamStats,
    Unreachable,
    Withdrawn,
)
from tests.client.conftest import EVENT, Refusal

AT_ONCE = Retry(attempts=3, first_s=0.0, most_s=0.0)
WAITING = StreamOptions(policy="wait")
DOWN = Refusal(grpc.StatusCode.UNAVAILABLE, "backend-unavailable", "going down")


async def replies_of(stream, frames):
    return [reply async for reply in stream.follow(frames)]


async def until(stream, kind, count):
    """The next replies, up to the `count`th of a kind."""
    seen = []
    while sum(isinstance(reply, kind) for reply in seen) < count:
        seen.append(await anext(stream))
    return seen


async def send_until(stream, picture, number, kind):
    """Frames from `number` on, until a reply of a kind comes: the replies, and the number of the next frame.

    A break is noticed by some frame, whichever.
    """
    reading = asyncio.create_task(until(stream, kind, 1))
    while not reading.done():
        with suppress(ClientError):
            await stream.send(picture(number))
            number += 1
        await asyncio.sleep(0)
    return reading.result(), number


async def test_every_frame_is_answered_in_order_and_statistics_come_last(service, picture):
    """With the caller's own times, the faces, and the model that answers."""
    async with AsyncClient(service.target) as client, client.stream(WAITING) as stream:
        assert (stream.opened.stream_id, stream.opened.model.name) == ("s1", "glimpse_flow")
        *results, stats = await replies_of(stream, [picture(number) for number in range(100)])
    assert [reply.frame_index for reply in results] == list(range(100))
    assert [reply.capture_us for reply in results] == [picture(number).capture_us for number in range(100)]
    assert (results[0].faces[0].state, results[0].faces[0].eyes_px) == ("resting", ((1, 2), (3, 4)))
    assert results[0].faces[0].motion_iod == ((0.5, 0.25),)
    assert isinstance(stats, StreamStats)
    assert (stats.received, stream.tally.sent, stream.tally.analysed) == (100, 100, 100)


async def test_options_reach_the_service(service, picture):
    """Model, faces, kinds, policy, rate, clock and motion."""
    options = StreamOptions("m", "3", "all", frozenset({"micro"}), "drop_latest", 200.0, 0, motion=True)
    async with AsyncClient(service.target) as client, client.stream(options) as stream:
        await replies_of(stream, [picture(0)])
    [sent] = service.fake.options
    assert (sent.model, sent.version, sent.faces, list(sent.kinds)) == ("m", "3", pb.FACE_CHOICE_ALL, [1])
    assert (sent.policy, sent.frame_rate, sent.motion) == (pb.BUFFER_POLICY_DROP_LATEST, 200.0, True)
    assert sent.HasField("clock_zero_us")
    assert sent.clock_zero_us == 0


async def test_movements_are_told_step_by_step(service, picture):
    """Onset, candidate, event, withdrawal."""
    service.fake.told = {
        0: [
            pb.LiveResponse(onset=pb.Onset(movement=1, track_id=1, onset_s=0.1, onset_frame=1)),
            pb.LiveResponse(candidate=pb.Candidate(movement=1, track_id=1, onset_s=0.1, apex_s=0.2, apex_frame=2)),
            pb.LiveResponse(event=pb.StreamEvent(movement=1, event=EVENT)),
            pb.LiveResponse(
                withdrawn=pb.Withdrawn(movement=2, track_id=1, reason=pb.WITHDRAW_REASON_NOT_AN_EXPRESSION)
            ),
        ]
    }
    async with AsyncClient(service.target) as client, client.stream(WAITING) as stream:
        _, onset, candidate, event, withdrawn, _ = await replies_of(stream, [picture(0)])
    assert onset == Onset(1, 1, 0.1, 1)
    assert candidate == Candidate(1, 1, 0.1, 0.2, 0, 2)
    assert isinstance(event, StreamEvent)
    assert (event.event.label, event.event.kind, event.event.evidence.grade) == ("positive", "micro", "good")
    assert withdrawn == Withdrawn(2, 1, "not-an-expression")
    assert (stream.tally.events, stream.tally.withdrawn) == (1, 1)


async def test_drops_and_refusals_of_single_frames_are_told(service, picture):
    """Each with its number, and the stream goes on."""
    service.fake.dropped, service.fake.refused = {1}, {2}
    async with AsyncClient(service.target) as client, client.stream(WAITING) as stream:
        first, dropped, refused, last, _ = await replies_of(stream, [picture(number) for number in range(4)])
    assert isinstance(first, FrameResult)
    assert dropped == FrameDropped(1, picture(1).capture_us, "oldest")
    assert refused == FrameRefused(2, picture(2).capture_us, "unreadable-media", "no picture", goes_on=True)
    assert last.frame_index == 3
    tally = stream.tally
    assert (tally.analysed, tally.dropped, tally.refused, tally.unanswered) == (2, 1, 1, 0)


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refusal(), Overloaded),
        (Refusal(grpc.StatusCode.NOT_FOUND, "unknown-model", "no such model", retryable=False), RequestRefused),
        (Refusal(grpc.StatusCode.INVALID_ARGUMENT, "invalid-option", "no", retryable=False), RequestRefused),
        (Refusal(grpc.StatusCode.INTERNAL, "worker-crashed", "died", retryable=False), ServiceFailed),
    ],
)
async def test_a_refused_stream_is_a_typed_error_at_once(service, refusal, kind):
    """Code, message, stage, request and whether it may succeed later; no second attempt."""
    service.fake.openings = [refusal]
    async with AsyncClient(service.target) as client:
        with pytest.raises(kind) as caught:
            async with client.stream():
                pytest.fail("opened")
    error = caught.value
    assert (error.code, error.message, error.retryable) == (refusal.code, refusal.message, refusal.retryable)
    assert (error.stage, error.request_id, error.retry_after_s) == ("live", "abc123", 0.0)
    assert len(service.fake.options) == 1


async def test_nobody_at_the_address(service):
    """Unreachable, with the address, at once."""
    service.call(service.door.close())
    async with AsyncClient(service.target) as client:
        with pytest.raises(Unreachable, match=f"^{service.target} does not answer"):
            async with client.stream():
                pytest.fail("opened")


async def test_a_stream_that_is_not_opened_is_no_stream(service):
    """A service that ends it at once, without a word, is not this one."""
    service.fake.unopened = True
    async with AsyncClient(service.target) as client:
        with pytest.raises(ForeignAnswer, match="was not opened"):
            async with client.stream():
                pytest.fail("opened")


async def test_a_broken_connection_is_opened_again_with_the_same_clock(service, picture):
    """The caller learns which frames got no answer; numbers of frames go on; the clock's zero is the first frame."""
    service.fake.told = {2: [pb.LiveResponse(onset=pb.Onset(movement=4, track_id=2))]}
    async with AsyncClient(service.target) as client, client.stream(WAITING, retry=AT_ONCE) as stream:
        for number in range(3):
            await stream.send(picture(number))
        assert [reply.frame_index for reply in await until(stream, FrameResult, 3)] == [0, 1, 2]
        assert isinstance(await anext(stream), Onset)
        service.hold()
        for number in (3, 4):
            await stream.send(picture(number))
        await asyncio.to_thread(service.fake.wait_for_frames, 5)
        service.call(service.door.slam())
        service.release()
        [again], number = await send_until(stream, picture, 5, Reconnected)
        service.fake.told = {number: [pb.LiveResponse(onset=pb.Onset(movement=1, track_id=1))]}
        await stream.send(picture(number))
        stream.finish()
        after = [reply async for reply in stream]
    assert again.unanswered[:2] == (3, 4)
    assert (again.movements, again.attempts, again.code) == ((4,), 1, "unreachable")
    answered = [reply.frame_index for reply in after if isinstance(reply, FrameResult)]
    assert [*range(3), *again.unanswered, *answered] == list(range(number + 1))
    first, second = service.fake.options
    assert not first.HasField("clock_zero_us")
    assert second.clock_zero_us == picture(0).capture_us
    # Numbers that have meant something are not used again.
    [onset] = [reply for reply in after if isinstance(reply, Onset)]
    assert (onset.movement, onset.track_id) == (5, 3)
    assert [face.track_id for face in after[0].faces] == [3]
    tally = stream.tally
    assert (tally.sent, tally.unanswered, tally.reconnects) == (number + 1, len(again.unanswered), 1)


async def test_a_service_that_goes_down_is_waited_for(service, picture):
    """Refusals in between count as attempts, and one answered frame starts the count anew."""
    service.fake.ends = [(1, DOWN), (1, DOWN)]
    service.fake.openings = [None, Refusal(), Refusal(), None, Refusal()]
    async with AsyncClient(service.target) as client, client.stream(WAITING, retry=AT_ONCE) as stream:
        [_, *_, first], number = await send_until(stream, picture, 0, Reconnected)
        await until(stream, FrameResult, 1)
        [*_, second], _ = await send_until(stream, picture, number, Reconnected)
    assert (first.attempts, second.attempts) == (3, 2)


async def test_attempts_are_bounded(service, picture):
    """The error has the frames without answer and what the last attempt ended with; whoever sends gets it too."""
    service.fake.ends = [(1, DOWN)]
    service.fake.openings = [None, *[Refusal()] * 3]
    async with AsyncClient(service.target) as client, client.stream(WAITING, retry=AT_ONCE) as stream:
        with pytest.raises(StreamLost, match="not opened again: 2 streams are open") as caught:
            await send_until(stream, picture, 0, StreamStats)
        with pytest.raises(StreamLost):
            await stream.send(picture(0))
    assert caught.value.unanswered == tuple(range(1, stream.tally.sent))
    assert isinstance(caught.value.__cause__, Overloaded)
    assert len(service.fake.options) == 4
    assert stream.tally.unanswered == stream.tally.sent - 1


async def test_what_cannot_succeed_later_is_not_tried_again(service, picture):
    """A stream that the service ends for good raises what it said."""
    crashed = Refusal(grpc.StatusCode.INTERNAL, "worker-crashed", "the worker died", retryable=False)
    service.fake.ends = [(1, crashed)]
    async with AsyncClient(service.target) as client, client.stream(WAITING, retry=AT_ONCE) as stream:
        await stream.send(picture(0))
        await until(stream, FrameResult, 1)
        with pytest.raises(ServiceFailed, match="the worker died") as caught:
            await anext(stream)
    assert caught.value.code == "worker-crashed"
    assert len(service.fake.options) == 1


async def test_a_stream_that_stood_still_is_opened_again_for_its_next_frame(service, picture):
    """Not before: a stream without frames would only be closed again."""
    idle = Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline-exceeded", "no frame came for 30 s")
    service.fake.ends = [(1, idle)]
    async with AsyncClient(service.target) as client, client.stream(WAITING, retry=AT_ONCE) as stream:
        await stream.send(picture(0))
        await until(stream, FrameResult, 1)
        assert not await waits(anext(stream))
        assert len(service.fake.options) == 1
        [again], _ = await send_until(stream, picture, 1, Reconnected)
        [result] = await until(stream, FrameResult, 1)
    assert (again.code, result.frame_index) == ("deadline-exceeded", 1 + len(again.unanswered))


async def waits(work):
    """Whether there is a result after a few turns of the event loop; it is given up then."""
    task = asyncio.ensure_future(work)
    for _ in range(50):
        await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    await asyncio.wait([task])
    return done


async def test_without_attempts_a_broken_stream_ends(service, picture):
    """For callers who do that themselves."""
    service.fake.ends = [(1, Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline-exceeded", "idle"))]
    async with AsyncClient(service.target) as client, client.stream(WAITING, retry=Retry(0)) as stream:
        await stream.send(picture(0))
        await until(stream, FrameResult, 1)
        with pytest.raises(StreamLost) as caught:
            await anext(stream)
    assert isinstance(caught.value.__cause__, DeadlineExceeded)


@pytest.mark.parametrize(("policy", "kept"), [("drop_oldest", range(136, 200)), ("drop_latest", range(64))])
async def test_frames_that_cannot_be_sent_in_time_are_dropped_and_told(service, picture, policy, kept):
    """Where the connection is slower than the source; each drop is told in its place."""
    async with AsyncClient(service.target) as client, client.stream(StreamOptions(policy=policy)) as stream:
        for number in range(200):
            await stream.send(picture(number))
        stream.finish()
        *replies, _ = [reply async for reply in stream]
    assert [reply.frame_index for reply in replies] == list(range(200))
    assert [reply.frame_index for reply in replies if isinstance(reply, FrameResult)] == list(kept)
    assert {reply.reason for reply in replies if isinstance(reply, FrameDropped)} == {"unsent"}
    assert (stream.tally.analysed, stream.tally.dropped) == (64, 136)


async def test_a_slow_service_slows_a_sender_who_wants_to_wait(service, picture):
    """No frame is lost, however late the answers come."""
    service.hold()
    async with AsyncClient(service.target) as client, client.stream(WAITING) as stream:
        sending = asyncio.create_task(replies_of(stream, [picture(number) for number in range(300)]))
        await asyncio.to_thread(service.fake.wait_for_frames, 1)
        service.release()
        *replies, _ = await sending
    assert [reply.frame_index for reply in replies if isinstance(reply, FrameResult)] == list(range(300))


async def test_a_frame_that_the_service_would_not_take_is_not_sent(service, picture):
    """The limits are known before: bytes of a message, pixels, and what a raw picture must have."""
    service.fake.limits = {"max_message_bytes": 1000, "max_frame_pixels": 300}
    async with AsyncClient(service.target) as client, client.stream(WAITING) as stream:
        with pytest.raises(FrameError, match="2000 bytes passes the 872"):
            await stream.send(replace(picture(0), encoding="jpeg", data=bytes(2000)))
        with pytest.raises(FrameError, match="20x20 passes the 300 pixels"):
            await stream.send(replace(picture(0), width=20, height=20, data=bytes(400)))
        with pytest.raises(FrameError, match="16 bytes are not a bgr8 picture of 4x4"):
            await stream.send(replace(picture(0), encoding="bgr8"))
        *_, stats = await replies_of(stream, [picture(0)])
    assert stats.received == 1


async def test_a_source_that_fails_ends_the_stream(service, picture):
    """After the replies to what it gave before."""

    def broken():
        yield picture(0)
        raise SourceError("unplugged")

    seen = []
    async with AsyncClient(service.target) as client, client.stream(WAITING) as stream:
        following = stream.follow(broken())
        for _ in range(2):
            seen.append(await anext(following))  # noqa: PERF401 - what comes third is raised
        with pytest.raises(SourceError, match="unplugged"):
            await anext(following)
    assert [type(reply) for reply in seen] == [FrameResult, StreamStats]


async def test_leaving_the_block_leaves_the_service(service, picture):
    """Nothing is left running there."""
    async with AsyncClient(service.target) as client, client.stream(WAITING) as stream:
        await stream.send(picture(0))
        await until(stream, FrameResult, 1)
    assert await asyncio.to_thread(service.fake.left.wait, 20)
    with pytest.raises(ClientError, match="left"):
        await stream.send(picture(1))


async def test_frames_after_the_end_are_refused_here(service, picture):
    """A finished stream takes none."""
    async with AsyncClient(service.target) as client, client.stream(WAITING) as stream:
        stream.finish()
        with pytest.raises(ClientError, match="has been finished"):
            await stream.send(picture(0))
        assert [type(reply) async for reply in stream] == [StreamStats]


def test_pauses_are_random_bounded_and_never_shorter_than_asked():
    """So that clients do not come back all at once."""
    retry = Retry(first_s=0.2, most_s=5.0)
    for attempt, bound in ((1, 0.2), (2, 0.4), (3, 0.8), (9, 5.0)):
        pauses = {retry.pause_s(attempt) for _ in range(50)}
        assert 0.0 <= min(pauses) < max(pauses) <= bound
    assert retry.pause_s(1, asked_s=3.0) == 3.0
    assert retry.pause_s(1, asked_s=3600.0) == 5.0
