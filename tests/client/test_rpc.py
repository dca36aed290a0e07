"""Clips, models and limits over gRPC, with and without an event loop of one's own."""

import asyncio

import grpc
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from client import (
    AnalyzeOptions,
    AsyncClient,
    Client,
    FrameResult,
    Overloaded,
    Progress,
    Reconnected,
    RequestRefused,
    Retry,
    SourceError,
    StreamOptions,
    StreamStats,
    Unreachable,
)
from tests.client.conftest import Refusal

BAD = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "no-face", "no face in 200 frames", retryable=False)


async def test_a_clip_is_sent_in_pieces_and_its_report_read(service, tmp_path):
    """From a file or from memory, with progress on the way."""
    clip, seen = tmp_path / "clip.mp4", []
    clip.write_bytes(bytes(range(256)) * 4096)
    async with AsyncClient(service.target) as client:
        report = await client.analyze(
            clip, AnalyzeOptions("m", "2", "all", frozenset({"macro"}), 0.5, 0.6), on_progress=seen.append
        )
        await client.analyze(clip.read_bytes())
    (options, sent), (plain, again) = service.fake.clips
    assert sent == again == clip.read_bytes()
    assert (options.model, options.version, options.faces, list(options.kinds)) == ("m", "2", pb.FACE_CHOICE_ALL, [2])
    assert (options.onset_s, options.apex_s, plain.HasField("onset_s")) == (0.5, 0.6, False)
    assert seen == [Progress("decode", 1, 2)]
    assert (report.id, report.clip.frames, report.model.name) == ("r1", 200, "glimpse_flow")
    assert (report.faces[0].evidence.grade, report.faces[0].evidence.reasons) == ("fair", ("x",))
    [event] = report.events
    assert (event.kind, event.label, event.probabilities["positive"], event.apex_frame) == ("micro", "positive", 0.8, 2)
    assert (report.timings_ms, report.warnings[0].code) == ({"decode": 12.5}, "speech")


async def test_a_problem_is_a_typed_error(service):
    """Code, message, stage, request."""
    service.fake.failure = BAD
    async with AsyncClient(service.target) as client:
        with pytest.raises(RequestRefused) as caught:
            await client.analyze(b"clip")
    assert str(caught.value) == "no face in 200 frames (no-face, request abc123)"
    assert (caught.value.stage, caught.value.retryable) == ("live", False)


async def test_what_the_service_asks_for_is_told(service):
    """When to come back."""
    service.fake.failure = Refusal(retry_after_s=2.5)
    async with AsyncClient(service.target) as client:
        with pytest.raises(Overloaded) as caught:
            await client.models()
    assert (caught.value.retryable, caught.value.retry_after_s) == (True, 2.5)


async def test_a_clip_that_is_not_there(service, tmp_path):
    """Nothing is sent."""
    async with AsyncClient(service.target) as client:
        with pytest.raises(SourceError, match=r"none\.mp4: No such file"):
            await client.analyze(tmp_path / "none.mp4")
    assert service.fake.clips == []


async def test_models_and_limits_are_told(service):
    """Before anything is sent."""
    service.fake.limits = {"max_live_streams": 4, "live_streams": 1}
    async with AsyncClient(service.target) as client:
        [model] = await client.models()
        info = await client.server_info()
    assert (model.name, model.versions, model.servable) == ("glimpse_flow", ("1", "2"), True)
    assert (info.max_message_bytes, info.max_live_streams, info.live_streams) == (4 << 20, 4, 1)
    assert (info.frame_encodings, info.codecs) == (("jpeg",), ("h264",))


async def test_one_channel_serves_calls_at_a_time(service, picture):
    """A stream and other calls, each with its own answer."""
    async with AsyncClient(service.target) as client, client.stream(StreamOptions(policy="wait")) as stream:
        await stream.send(picture(0))
        answers = await asyncio.gather(*(client.analyze(b"clip") for _ in range(3)), client.models())
        assert isinstance(await anext(stream), FrameResult)
    assert [answer.id for answer in answers[:3]] == ["r1"] * 3


def test_the_same_without_an_event_loop(service, picture):
    """Clips, models, limits, and streams that are fed from an iterable."""
    with Client(service.target) as client:
        assert client.analyze(b"clip").id == "r1"
        assert client.models()[0].name == "glimpse_flow"
        assert client.server_info().version == "0.1"
        with client.stream(StreamOptions(policy="wait")) as stream:
            *results, stats = stream.follow(picture(number) for number in range(20))
            assert (stream.opened.stream_id, stream.tally.analysed) == ("s1", 20)
    assert [reply.frame_index for reply in results] == list(range(20))
    assert isinstance(stats, StreamStats)


def test_frames_may_be_sent_one_by_one_without_an_event_loop(service, picture):
    """And a broken connection is opened again there too."""
    service.fake.ends = [(1, Refusal(grpc.StatusCode.UNAVAILABLE, "", "gone"))]
    retry = Retry(first_s=0.0, most_s=0.0)
    with Client(service.target) as client, client.stream(StreamOptions(policy="wait"), retry=retry) as stream:
        assert stream.send(picture(0)) == 0
        assert isinstance(next(iter(stream)), FrameResult)
        number, again = 1, None
        while again is None:
            stream.send(picture(number))
            reply = next(iter(stream)) if stream.tally.reconnects else None
            again = reply if isinstance(reply, Reconnected) else None
            number += 1
        stream.finish()
        assert isinstance(list(stream)[-1], StreamStats)


def test_errors_come_through_without_an_event_loop(service):
    """The same ones."""
    service.call(service.door.close())
    with Client(service.target) as client, pytest.raises(Unreachable):
        client.models()
