"""Live streams by gRPC to a service as an operator starts it, with the real pipeline."""

import asyncio
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from client import AsyncClient, Overloaded
from tests.grpc_calls import connected, facts, options, parts, told
from tests.live_frames import (
    DROP_LATEST,
    DROP_OLDEST,
    SAMPLES,
    WAIT,
    answers_to_frames,
    changed,
    raw,
    requests,
    sample,
    then_silence,
)


@pytest.fixture(scope="module")
def small(start_service):
    """A service that serves two streams at a time, each with room for eight frames, and has little patience."""
    limits = {"MAX_STREAMS": "2", "BUFFER_FRAMES": "8", "IDLE_SECONDS": "8", "FRAMES_PER_SECOND": "1000"}
    with start_service(**{f"GLIMPSE_LIVE__{name}": value for name, value in limits.items()}) as service:
        yield service


@pytest.fixture(scope="module")
def pictures():
    """A sample with one movement, as raw frames."""
    return sample("positive.mp4")


async def _stream(service, frames, **chosen):
    async with connected(service.grpc) as stub:
        return await told(stub.Live(requests(frames, **chosen)))


@pytest.mark.parametrize("policy", [WAIT, DROP_OLDEST, DROP_LATEST])
async def test_every_frame_has_one_answer_in_order(small, pictures, policy):
    """Whatever the policy; under WAIT none is dropped, and each drop under the others is told."""
    answers, error = await _stream(small, pictures, policy=policy)
    assert error is None
    assert [(a.frame_index, a.capture_time_us) for _, a in answers_to_frames(answers)] == [
        (frame.frame_index, frame.capture_time_us) for frame in pictures
    ]
    stats = answers[-1].stats
    assert stats.received == len(pictures) == stats.analysed + stats.dropped
    assert (stats.dropped == 0) == (policy == WAIT)
    reasons = {a.reason for kind, a in answers_to_frames(answers) if kind == "frame_dropped"}
    assert reasons <= {{DROP_OLDEST: pb.DROP_REASON_OLDEST, DROP_LATEST: pb.DROP_REASON_LATEST}.get(policy)}


async def test_a_stream_finds_what_the_clip_shows(small, pictures):
    """Onset, candidate and event of one movement in this order; the event is that of the clip."""
    answers, _ = await _stream(small, pictures, policy=WAIT)
    steps = [kind for kind in parts(answers) if kind in ("onset", "candidate", "event", "withdrawn")]
    assert [steps[0], steps[-1]] == ["onset", "event"]
    (event,) = [answer.event.event for answer in answers if answer.WhichOneof("part") == "event"]
    (of_clip,) = small.analyze((SAMPLES / "positive.mp4").read_bytes()).json()["events"]
    assert event.prediction.label == of_clip["label"] == "positive"
    for name in ("onset_frame", "apex_frame", "offset_frame"):
        assert abs(getattr(event, name) - of_clip[name]) <= 2


async def test_a_clip_by_grpc_is_answered_as_by_rest(small):
    """The same events, faces and clip."""
    data = (SAMPLES / "surprise.mp4").read_bytes()
    pieces = [pb.AnalyzeRequest(data=data[at : at + 2**16]) for at in range(0, len(data), 2**16)]
    async with connected(small.grpc) as stub:
        answers, error = await told(stub.Analyze(iter([pb.AnalyzeRequest(options=pb.AnalyzeOptions()), *pieces])))
    assert error is None
    assert parts(answers)[0] == "progress"
    found, rest = answers[-1].report, small.analyze(data).json()
    assert (found.clip.frames, found.clip.codec) == (rest["clip"]["frames"], rest["clip"]["codec"])
    assert [face.track_id for face in found.faces] == [face["track_id"] for face in rest["faces"]]
    assert len(found.events) == len(rest["events"]) == 1
    event, expected = found.events[0], rest["events"][0]
    assert (event.onset_s, event.apex_s, event.offset_s) == tuple(
        expected[f"{m}_s"] for m in ("onset", "apex", "offset")
    )
    assert dict(event.prediction.probabilities) == expected["probabilities"]
    assert list(event.regions) == expected["regions"]
    assert [unit.au for unit in event.prediction.action_units] == [unit["au"] for unit in expected["action_units"]]


async def test_what_is_wrong_with_a_frame_costs_that_frame(small, pictures):
    """Garbage, time and numbers that go back, a size that does not fit, an unknown encoding: the stream goes on."""
    wrong = [
        changed(pictures[4], data=b"garbage", encoding=pb.FRAME_ENCODING_JPEG),
        changed(pictures[5], capture_time_us=pictures[1].capture_time_us),
        changed(pictures[6], frame_index=2),
        changed(pictures[7], width=1),
        changed(pictures[8], encoding=17),
        changed(pictures[9], data=b""),
    ]
    answers, error = await _stream(small, [*pictures[:4], *wrong, *pictures[10:14]], policy=WAIT)
    assert error is None
    assert [kind for kind, _ in answers_to_frames(answers)] == ["frame_result"] * 4 + ["frame_refused"] * 6 + [
        "frame_result"
    ] * 4
    refused = [a for kind, a in answers_to_frames(answers) if kind == "frame_refused"]
    assert [a.code for a in refused] == [
        "unreadable-media", "invalid-option", "invalid-option", "invalid-option", "invalid-option", "invalid-option",
    ]  # fmt: skip
    assert all(a.goes_on and a.message for a in refused)


async def test_nothing_but_refusals_ends_the_stream(small, pictures):
    """After twenty in a row, with the last reason as its status; every frame has its answer."""
    garbage = [changed(pictures[index], data=b"garbage", encoding=1) for index in range(30)]
    async with connected(small.grpc) as stub:
        answers, error = await told(stub.Live(then_silence(requests(garbage, policy=WAIT))))
    assert {kind for kind, _ in answers_to_frames(answers)} <= {"frame_refused", "frame_dropped"}
    assert [a.frame_index for _, a in answers_to_frames(answers)] == list(range(len(answers_to_frames(answers))))
    assert len(answers_to_frames(answers)) >= 20
    assert parts(answers)[-1] == "stats"
    assert (error.code().name, facts(error)["glimpse-code"]) == ("INVALID_ARGUMENT", "unreadable-media")


async def test_another_resolution_begins_anew(small, pictures):
    """Faces are found again, as others, and nothing is taken for a movement."""
    half = [raw(f.frame_index, f.capture_time_us, cv2.resize(_gray(f), None, fx=0.5, fy=0.5)) for f in pictures[8:16]]
    answers, error = await _stream(small, [*pictures[:8], *half], policy=WAIT)
    assert error is None
    tracks = [{face.track_id for face in a.faces} for kind, a in answers_to_frames(answers) if kind == "frame_result"]
    assert len(tracks) == 16
    assert all(tracks)
    assert not tracks[0] & tracks[-1]
    assert "event" not in parts(answers)


def _gray(frame):
    return np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width)


async def test_a_stream_that_stands_still_is_closed(small, pictures):
    """What came is answered, the statistics come, and the status names the setting."""
    async with connected(small.grpc) as stub:
        answers, error = await told(stub.Live(then_silence(requests(pictures[:3], policy=WAIT))))
    assert parts(answers) == ["opened", *["frame_result"] * 3, "stats"]
    assert error.code().name == "DEADLINE_EXCEEDED"
    assert "GLIMPSE_LIVE__IDLE_SECONDS" in error.details()


async def test_one_stream_too_many_is_refused_at_once(small, pictures):
    """With the setting that says so; those that are open go on."""
    async with connected(small.grpc) as stub:
        calls = [stub.Live() for _ in range(2)]
        for call in calls:
            await call.write(options(policy=WAIT))
            assert (await call.read()).WhichOneof("part") == "opened"
        assert small.metric("glimpse_live_streams") == 2
        answers, error = await told(stub.Live(then_silence([options()])))
        assert answers == []
        assert error.code().name == "RESOURCE_EXHAUSTED"
        assert "GLIMPSE_LIVE__MAX_STREAMS" in error.details()
        assert int(facts(error)["glimpse-retry-after-s"]) >= 1
        async with AsyncClient(small.grpc) as client:
            with pytest.raises(Overloaded, match="2 streams are open") as caught:
                await client.stream().__aenter__()
        assert (caught.value.retryable, caught.value.retry_after_s) == (True, 1.0)
        for call in calls:
            await call.write(pb.LiveRequest(frame=pictures[0]))
            assert (await call.read()).frame_result.frame_index == 0
            await call.done_writing()
            assert parts((await told(call))[0]) == ["stats"]


@pytest.mark.parametrize(
    ("chosen", "status", "code"),
    [
        ({"model": "nobody"}, "NOT_FOUND", "unknown-model"),
        ({"version": "77"}, "NOT_FOUND", "unknown-model"),
        ({"model": "mllm"}, "FAILED_PRECONDITION", "model-not-servable"),
    ],
)
async def test_a_model_that_cannot_answer_is_refused_before_anything_is_taken(small, chosen, status, code):
    """No process is lent for it."""
    async with connected(small.grpc) as stub:
        _, error = await told(stub.Live(then_silence([options(**chosen)])))
    assert (error.code().name, facts(error)["glimpse-code"]) == (status, code)


VANISHING = """
import sys, grpc
from glimpse.v1 import micro_expressions_pb2 as pb, micro_expressions_pb2_grpc as pb_grpc

def requests():
    yield pb.LiveRequest(options=pb.LiveOptions())
    frame = pb.Frame(encoding=3, width=320, height=240, data=bytes(320 * 240))
    while True:
        frame.frame_index += 1
        frame.capture_time_us += 1000
        yield pb.LiveRequest(frame=frame)

channel = grpc.insecure_channel(sys.argv[1])
for answer in pb_grpc.MicroExpressionsStub(channel).Live(requests()):
    print(answer.WhichOneof("part"), flush=True)
"""


async def test_a_client_that_vanishes_disturbs_nobody(small, pictures):
    """Its process is killed in the middle; its place is free again, and the stream beside it has all its answers."""
    command = [sys.executable, "-c", VANISHING, small.grpc]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as vanishing:  # noqa: ASYNC220
        assert (await asyncio.to_thread(vanishing.stdout.readline)).strip() == "opened"
        beside = asyncio.ensure_future(_stream(small, pictures[:30], policy=WAIT))
        for _ in range(5):
            await asyncio.to_thread(vanishing.stdout.readline)
        vanishing.send_signal(signal.SIGKILL)
        answers, error = await beside
    assert error is None
    assert len(answers_to_frames(answers)) == 30
    while small.metric("glimpse_live_streams"):
        pass
    assert small.metric("glimpse_live_frames_total", outcome="analysed") >= 30
    assert small.metric("glimpse_live_lag_seconds_count") >= 30
