"""The client over REST against the real application, and against strangers."""

import json

import httpx
import pytest

from client import (
    AnalyzeOptions,
    AsyncRestClient,
    DeadlineExceeded,
    ForeignAnswer,
    Overloaded,
    Progress,
    RequestRefused,
    RestClient,
    ServiceFailed,
    SourceError,
    Unreachable,
)
from server import errors, types


async def test_a_clip_is_analysed(start, fake_analyzer, tmp_path):
    """The options reach the service, progress comes on the way, and every value of the report is there."""
    gateway, seen = start(fake_analyzer(progress=[types.Progress("decode", 1, 2)])), []
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"clip")
    async with AsyncRestClient(gateway.url) as client:
        report = await client.analyze(
            clip, AnalyzeOptions(faces="all", kinds=frozenset({"micro"}), onset_s=0.5), on_progress=seen.append
        )
    [call] = gateway.analyzer.calls
    assert (call["data"], call["options"].faces, call["options"].onset_s) == (b"clip", "all", 0.5)
    assert call["options"].kinds == frozenset({"micro"})
    assert seen == [Progress("decode", 1, 2)]
    assert (report.clip.codec, report.model.name, report.timings_ms["decode"]) == ("h264", "ststnet", 12.5)
    [event] = report.events
    assert (event.label, event.apex_s, event.regions) == ("positive", 0.6, ("mouth_corner_left",))
    assert (report.faces[0].quality.iod_px, event.evidence.grade) == (60.0, "good")


async def test_two_pictures_are_classified(gateway):
    """From memory here."""
    async with AsyncRestClient(gateway.url) as client:
        answer = await client.classify(b"rest", b"height", model="ststnet")
    [call] = gateway.analyzer.calls
    assert (call["onset"], call["apex"], call["options"].model) == (b"rest", b"height", "ststnet")
    assert (answer.label, answer.confidence, answer.abstained) == ("positive", 0.8, False)


def test_the_same_without_an_event_loop(gateway):
    """Each call blocks until its answer is there."""
    with RestClient(gateway.url) as client:
        assert client.analyze(b"clip").events[0].label == "positive"
        assert client.classify(b"rest", b"height").label == "positive"
        assert [model.name for model in client.models()] == ["ststnet"]
        assert client.model("ststnet").labels == ("negative", "positive", "surprise")
        with pytest.raises(RequestRefused, match="no model is named 'x y'") as caught:
            client.model("x y")
    assert caught.value.code == "unknown-model"


@pytest.mark.parametrize(
    ("raised", "kind", "retryable"),
    [
        (errors.NoFace("no face in 200 frames", stage="faces"), RequestRefused, False),
        (errors.UnknownModel("no such model"), RequestRefused, False),
        (errors.Overloaded("full", retry_after_s=3.0), Overloaded, True),
        (errors.DeadlineExceeded("too long"), DeadlineExceeded, True),
        (errors.WorkerCrashed("died"), ServiceFailed, False),
        (errors.BackendUnavailable("away"), ServiceFailed, True),
    ],
)
async def test_problems_are_typed_errors(start, fake_analyzer, raised, kind, retryable):
    """As an answer and at the end of a stream of events; the request id finds the log."""
    gateway = start(fake_analyzer(error=raised))
    async with AsyncRestClient(gateway.url) as client:
        for call in (client.analyze(b"clip"), client.classify(b"a", b"b")):
            with pytest.raises(kind) as caught:
                await call
            error = caught.value
            assert (error.code, error.message, error.retryable) == (raised.code, raised.message, retryable)
            assert (error.stage, len(error.request_id)) == (raised.stage, 32)
            if isinstance(error, Overloaded):
                assert error.retry_after_s == 3.0


async def test_nobody_at_the_address():
    """One sentence with the address."""
    async with AsyncRestClient("http://127.0.0.1:9") as client:
        with pytest.raises(Unreachable, match=r"^http://127\.0\.0\.1:9 does not answer") as caught:
            await client.models()
    assert caught.value.retryable


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="hello"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"models": [{"name": "m"}]}),
        httpx.Response(200, json={"models": [{"name": 1}]}),
        httpx.Response(500, text="oops"),
        httpx.Response(404, json={"detail": "Not Found"}),
    ],
)
async def test_strangers_are_told_apart(answer):
    """Whatever is not this service's answer."""
    async with AsyncRestClient(transport=httpx.MockTransport(lambda _: answer)) as client:
        with pytest.raises(ForeignAnswer):
            await client.models()


async def test_a_newer_service_may_say_more():
    """Members that this client does not know are left aside."""
    model = {"name": "m", "versions": ["1"], "recipe": "r", "labels": [], "backend": "b", "servable": True, "new": 1}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"models": [model], "more": {}}))
    async with AsyncRestClient(transport=transport) as client:
        assert (await client.models())[0].name == "m"


async def test_an_answer_that_breaks_off():
    """A stream of events without a report is none."""
    text = "event: progress\ndata: " + json.dumps({"stage": "decode", "done": 1, "total": 2}) + "\n\n"
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=text))
    async with AsyncRestClient(transport=transport) as client:
        with pytest.raises(ForeignAnswer, match="ended its answer early"):
            await client.analyze(b"clip")


async def test_a_file_that_is_not_there(gateway, tmp_path):
    """Nothing is sent."""
    async with AsyncRestClient(gateway.url) as client:
        with pytest.raises(SourceError, match="none: No such file"):
            await client.classify(tmp_path / "none", b"")
    assert gateway.analyzer.calls == []
