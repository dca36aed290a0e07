"""Calls by gRPC, over a real socket, with an analyzer that does what the test says."""

import asyncio
import logging

import grpc
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from server.errors import BackendUnavailable, BudgetSpent, FaceLost, NoFace, Overloaded, WorkerCrashed
from server.pipeline.base import LiveBounds
from server.report.export import as_dict
from server.types import AnalyzeOptions, Progress
from tests import http2
from tests.conftest import report
from tests.fake_live import FakeLive
from tests.grpc_calls import connected, facts, frames, options, parts, told

ANALYZE = "/glimpse.v1.MicroExpressions/Analyze"
LIVE = "/glimpse.v1.MicroExpressions/Live"


def clip(*pieces, **chosen):
    yield pb.AnalyzeRequest(options=pb.AnalyzeOptions(**chosen))
    for piece in pieces:
        yield pb.AnalyzeRequest(data=piece)


async def then_silence(requests):
    for request in requests:
        yield request
    await asyncio.Event().wait()


def counted(gateway, status):
    """Wait until a stream has ended with it."""
    while not gateway.metric("glimpse_requests_total", route=LIVE, status=status):
        pass


async def analyzed(gateway, requests, **how):
    async with connected(gateway.grpc) as stub:
        return await told(stub.Analyze(requests, **how))


async def lived(gateway, requests, **how):
    async with connected(gateway.grpc) as stub:
        return await told(stub.Live(requests, **how))


async def until_stats(call):
    while (await call.read()).WhichOneof("part") != "stats":
        pass


async def test_a_clip_in_pieces_is_answered_with_progress_and_the_report(start, fake_analyzer):
    """The pieces arrive in their order, the options as they were meant."""
    gateway = start(fake_analyzer(progress=[Progress("faces", 1, 2)]))
    chosen = {"model": "net", "version": "3", "faces": 2, "kinds": [1], "onset_s": 0.5}
    answers, error = await analyzed(gateway, clip(b"ab", b"c", **chosen), metadata=[("x-request-id", "mine")])
    assert error is None
    assert parts(answers) == ["progress", "report"]
    (call,) = gateway.analyzer.calls
    assert call["data"] == b"abc"
    assert call["options"] == AnalyzeOptions("net", "3", "all", 0.5, None, frozenset({"micro"}))
    found = answers[-1].report
    assert (found.id, found.clip.codec, found.events[0].prediction.label) == ("mine", "h264", "positive")
    assert gateway.metric("glimpse_requests_total", route=ANALYZE, status="OK") == 1


async def test_every_call_carries_its_request_id(gateway):
    """The caller's where it is harmless, else a new one, before anything else is answered."""
    async with connected(gateway.grpc) as stub:
        call = stub.ListModels(pb.ListModelsRequest(), metadata=[("x-request-id", "a-b.c")])
        assert dict(await call.initial_metadata())["x-request-id"] == "a-b.c"
        call = stub.ListModels(pb.ListModelsRequest(), metadata=[("x-request-id", "a b")])
        assert len(dict(await call.initial_metadata())["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("error", "status", "wanted"),
    [
        (NoFace("no face", stage="faces"), "INVALID_ARGUMENT", {"code": "no-face", "stage": "faces"}),
        (BackendUnavailable("down", retry_after_s=2.5), "UNAVAILABLE", {"retryable": "true", "retry-after-s": "3"}),
        (Overloaded("full"), "RESOURCE_EXHAUSTED", {"code": "overloaded", "retry-after-s": "1"}),
        (BudgetSpent("spent", setting="X"), "RESOURCE_EXHAUSTED", {"code": "budget-spent", "setting": "X"}),
        (WorkerCrashed("died"), "INTERNAL", {"code": "worker-crashed", "retryable": "false"}),
    ],
    ids=lambda value: getattr(value, "code", None),
)
async def test_an_error_is_a_status_with_what_a_client_may_act_on(start, fake_analyzer, error, status, wanted):
    """The message says what is wrong; metadata says code, stage, and whether and when to come back."""
    gateway = start(fake_analyzer(error=error))
    _, refusal = await analyzed(gateway, clip(b"x"), metadata=[("x-request-id", "mine")])
    assert (refusal.code().name, refusal.details()) == (status, error.message)
    assert {f"glimpse-{name}": value for name, value in wanted.items()}.items() <= facts(refusal).items()
    assert facts(refusal)["glimpse-request-id"] == "mine"
    assert gateway.metric("glimpse_requests_total", route=ANALYZE, status=status) == 1


async def test_what_nobody_foresaw_tells_nothing_of_itself(start, fake_analyzer, caplog):
    """The log has the cause, the client the request id."""
    gateway = start(fake_analyzer(error=RuntimeError("secret")))
    _, refusal = await analyzed(gateway, clip(b"x"))
    assert refusal.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in refusal.details()
    assert "unforeseen error" in caplog.text


async def test_a_lost_face_loses_nothing(start, fake_analyzer):
    """The report of what was seen comes before the error."""
    gateway = start(fake_analyzer(error=FaceLost("lost", stage="faces", report=as_dict(report("r")))))
    answers, refusal = await analyzed(gateway, clip(b"x"))
    assert answers[-1].report.events[0].prediction.label == "positive"
    assert facts(refusal)["glimpse-code"] == "face-lost"


@pytest.mark.parametrize(
    ("requests", "says"),
    [
        ([], "the first must hold the options"),
        ([pb.AnalyzeRequest(data=b"x")], "the first message must hold the options"),
        ([pb.AnalyzeRequest()], "the first message must hold the options"),
        ([*clip(), *clip()], "every message after the first must hold data"),
        (list(clip(b"x", model="../x")), "model does not look like one"),
        (list(clip(b"x", version="one")), "version does not look like one"),
        (list(clip(b"x", faces=9)), "faces has no value 9"),
        (list(clip(b"x", kinds=[0])), "kinds has no value 0"),
        (list(clip(b"x", include=[0])), "include has no value 0"),
        (list(clip(b"x", include=[1], detail=2)), "include shows the face, which detail=minimal leaves out"),
        (list(clip(b"x", onset_s=-1)), "onset_s must be between"),
        (list(clip(b"x", apex_s=float("nan"))), "apex_s must be between"),
        (list(clip(b"x", onset_s=2, apex_s=1)), "must be later than"),
    ],
)
async def test_a_clip_that_comes_wrongly_is_refused(gateway, requests, says):
    """The message names what is wrong, and nothing is analysed."""
    _, refusal = await analyzed(gateway, iter(requests))
    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in refusal.details()
    assert facts(refusal)["glimpse-code"] == "invalid-option"
    assert gateway.analyzer.calls == []


async def test_uploads_are_bounded_as_those_of_rest(start):
    """In bytes and in time; the refusal names the setting."""
    gateway = start(limits={"upload_bytes": 1024, "upload_idle_seconds": 0.2})
    _, refusal = await analyzed(gateway, clip(b"x" * 1000, b"x" * 25))
    assert facts(refusal)["glimpse-setting"] == "GLIMPSE_LIMITS__UPLOAD_BYTES"
    _, refusal = await analyzed(gateway, then_silence(clip()))
    assert refusal.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert facts(refusal)["glimpse-stage"] == "upload"
    assert "GLIMPSE_LIMITS__UPLOAD_IDLE_SECONDS" in refusal.details()


async def test_one_clip_too_many_is_told_to_come_back(start, fake_analyzer):
    """REST and gRPC share one admission."""
    gateway = start(fake_analyzer(held=True), limits={"inflight": 1, "queued": 0})
    first = asyncio.ensure_future(analyzed(gateway, clip(b"x")))
    assert await asyncio.to_thread(gateway.analyzer.started.acquire, timeout=20)
    _, refusal = await analyzed(gateway, clip(b"x"))
    assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await asyncio.to_thread(gateway.client.post, "/v1/analyze", files={"clip": b"x"})).status_code == 429
    gateway.analyzer.release()
    assert parts((await first)[0]) == ["report"]


async def test_a_client_that_leaves_cancels_its_work(start, fake_analyzer):
    """The analysis ends, and the call is counted as cancelled."""
    gateway = start(fake_analyzer(held=True))
    async with connected(gateway.grpc) as stub:
        call = stub.Analyze(clip(b"x"))
        reading = asyncio.ensure_future(told(call))
        assert await asyncio.to_thread(gateway.analyzer.started.acquire, timeout=20)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert await asyncio.to_thread(gateway.analyzer.cancelled.wait, 20)
    assert gateway.metric("glimpse_cancelled_total", kind="analyze") == 1


async def test_the_deadline_of_the_client_is_that_of_the_analysis(start, fake_analyzer):
    """Where it is the shorter one."""
    gateway = start(fake_analyzer())
    loop = asyncio.get_running_loop()
    before = loop.time()
    await analyzed(gateway, clip(b"x"), timeout=40)
    assert before + 30 < gateway.analyzer.calls[0]["deadline"] < loop.time() + 40
    await analyzed(gateway, clip(b"x"))
    assert gateway.analyzer.calls[1]["deadline"] > loop.time() + 100


async def test_models_are_listed(start, fake_analyzer):
    """As by REST; a backend that is away is a status."""
    async with connected(start(fake_analyzer()).grpc) as stub:
        (model,) = (await stub.ListModels(pb.ListModelsRequest())).models
    assert (model.name, model.versions, model.servable) == ("ststnet", ["1"], True)
    async with connected(start(fake_analyzer(error=BackendUnavailable("down"))).grpc) as stub:
        with pytest.raises(grpc.aio.AioRpcError, match="down"):
            await stub.ListModels(pb.ListModelsRequest())


async def test_every_limit_is_told_beforehand(start):
    """Those of messages, clips and live streams, and how many of the streams are taken."""
    live = FakeLive(bounds=LiveBounds(3, 90.0, 7.0, 11), streams=2, frames_per_s=60.0)
    gateway = start(live=live, limits={"clip_seconds": 12, "upload_bytes": 4096}, server={"grpc_message_bytes": 2**20})
    async with connected(gateway.grpc) as stub:
        info = await stub.GetServerInfo(pb.GetServerInfoRequest())
    assert (info.max_message_bytes, info.max_clip_bytes, info.max_clip_seconds) == (2**20, 4096, 12)
    assert (info.max_live_streams, info.live_streams, info.live_idle_seconds) == (3, 2, 7)
    assert (info.max_live_frames_per_second, info.live_frames_per_second, info.live_buffer_frames) == (90, 60, 11)
    assert (info.default_model, len(info.frame_encodings), "h264" in info.codecs) == ("glimpse_flow", 4, True)


async def test_a_message_that_is_too_large_is_refused_with_the_setting(start):
    """In a clip and in a live stream, whose frames until then have their answers."""
    gateway = start(server={"grpc_message_bytes": 2**16})
    _, refusal = await analyzed(gateway, clip(b"x" * 2**16))
    assert facts(refusal)["glimpse-setting"] == "GLIMPSE_SERVER__GRPC_MESSAGE_BYTES"
    assert "65536 bytes (GLIMPSE_SERVER__GRPC_MESSAGE_BYTES)" in refusal.details()
    requests = [options(), *frames(1), *frames(1, data=b"x" * 2**16)]
    answers, refusal = await lived(gateway, then_silence(requests))
    assert parts(answers) == ["opened", "frame_result", "stats"]
    assert facts(refusal)["glimpse-limit"] == "65536"


async def test_a_stream_opens_answers_each_frame_and_ends_with_statistics(gateway):
    """The model and the names of regions come first."""
    answers, error = await lived(
        gateway, iter([options(), *frames(3), *frames(1, data=b"")]), metadata=[("x-request-id", "mine")]
    )
    assert error is None
    assert parts(answers) == ["opened", *["frame_result"] * 3, "frame_refused", "stats"]
    opened = answers[0].opened
    assert (opened.stream_id, opened.model.name, opened.regions) == ("mine", "ststnet", ["brow", "mouth"])
    assert [answer.frame_result.frame_index for answer in answers[1:4]] == [0, 1, 2]
    assert answers[4].frame_refused.goes_on
    assert gateway.metric("glimpse_requests_total", route=LIVE, status="OK") == 1


async def test_the_options_of_a_stream_are_as_they_were_meant(gateway):
    """And those that are not given are the defaults."""
    chosen = {"faces": 2, "kinds": [2], "policy": 1, "frame_rate": 60, "clock_zero_us": 5, "motion": True}
    await lived(gateway, iter([options(model="net", version="2", **chosen)]))
    await lived(gateway, iter([options()]))
    first, second = gateway.live.asked
    assert (first.model, first.version, first.faces, first.kinds) == ("net", "2", "all", {"macro"})
    assert (first.policy, first.frame_rate, first.clock_zero_us, first.motion) == ("wait", 60.0, 5, True)
    assert second == type(second)()


@pytest.mark.parametrize(
    ("requests", "says"),
    [
        ([], "the first message must hold the options"),
        (list(frames(1)), "the first message must hold the options"),
        ([options(policy=7)], "policy has no value 7"),
        ([options(frame_rate=-1)], "frame_rate"),
        ([options(frame_rate=float("nan"))], "frame_rate"),
        ([options(frame_rate=1e9)], "frame_rate"),
    ],
)
async def test_a_stream_that_begins_wrongly_takes_nothing(gateway, requests, says):
    """It is refused before it is opened."""
    answers, refusal = await lived(gateway, iter(requests))
    assert answers == []
    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in refusal.details()
    assert gateway.live.asked == []


@pytest.mark.parametrize("second", [options(), pb.LiveRequest()], ids=["options", "nothing"])
async def test_options_come_once(gateway, second):
    """A second message of them ends the stream; what came before it is answered, with statistics."""
    answers, refusal = await lived(gateway, then_silence([options(), *frames(2), second]))
    assert parts(answers) == ["opened", "frame_result", "frame_result", "stats"]
    assert "every message after the first must hold a frame" in refusal.details()


async def test_a_stream_that_is_not_let_in_is_refused_at_once(start):
    """With the reason, and when to come back."""
    gateway = start(live=FakeLive(error=Overloaded("4 streams are open", stage="live")))
    answers, refusal = await lived(gateway, iter([options()]))
    assert answers == []
    assert (refusal.code().name, refusal.details()) == ("RESOURCE_EXHAUSTED", "4 streams are open")
    assert facts(refusal)["glimpse-retry-after-s"] == "1"


async def test_what_ends_a_stream_is_its_status(start):
    """After its statistics."""
    gateway = start(live=FakeLive(failure=WorkerCrashed("died", stage="live")))
    answers, refusal = await lived(gateway, iter([options(), *frames(1)]))
    assert parts(answers)[-1] == "stats"
    assert (refusal.code().name, facts(refusal)["glimpse-stage"]) == ("INTERNAL", "live")


async def test_who_sends_no_options_is_sent_away(start):
    """A call that begins with silence holds nothing for long."""
    gateway = start(live=FakeLive(bounds=LiveBounds(4, 200.0, 0.2, 16)))
    _, refusal = await lived(gateway, then_silence([]))
    assert refusal.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "no options came for 0.2 s (GLIMPSE_LIVE__IDLE_SECONDS)" in refusal.details()


async def test_a_stream_with_a_deadline_ends_before_it(gateway):
    """With its answers and its statistics, which a call that is cut off would lose."""
    answers, refusal = await lived(gateway, then_silence([options(), *frames(2)]), timeout=2.0)
    assert parts(answers) == ["opened", "frame_result", "frame_result", "stats"]
    assert (refusal.code().name, facts(refusal)["glimpse-stage"]) == ("DEADLINE_EXCEEDED", "live")


@pytest.mark.parametrize("method", ["Analyze", "Live"])
@pytest.mark.parametrize("before", [0, 1], ids=["first", "second"])
async def test_bytes_that_are_no_message_are_the_fault_of_the_client(gateway, caplog, method, before):
    """As the first message and later; the log keeps silent about what is no defect."""
    first = options() if method == "Live" else next(clip())
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        call = channel.stream_stream(f"/glimpse.v1.MicroExpressions/{method}")()
        for message in [first.SerializeToString()] * before + [b"\xff" * 40]:
            await call.write(message)
        _, refusal = await told(call)
    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.details() == "the message is none of this interface"
    assert facts(refusal)["glimpse-code"] == "invalid-input"
    assert "unforeseen" not in caplog.text


async def test_who_still_writes_learns_why_its_stream_ended(gateway):
    """The asynchronous client of gRPC loses the status of a call that ends under its hands, so what it writes until it
    has read the statistics is taken and thrown away.
    """
    async with connected(gateway.grpc) as stub:
        call = stub.Live()
        await call.write(options())
        await call.write(options())
        reading = asyncio.ensure_future(until_stats(call))
        while not reading.done():
            await call.write(next(frames(1, data=b"x" * 65536)))
        await call.done_writing()
        _, refusal = await told(call)
    assert refusal.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert facts(refusal)["glimpse-code"] == "invalid-option"


async def test_a_client_that_leaves_its_stream_gives_its_place_back(gateway):
    """Nothing of it stays open."""
    async with connected(gateway.grpc) as stub:
        call = stub.Live(then_silence([options()]))
        assert (await call.read()).WhichOneof("part") == "opened"
        assert gateway.live.streams == 1
        call.cancel()
    await asyncio.to_thread(counted, gateway, "CANCELLED")
    assert gateway.live.streams == 0
    assert gateway.metric("glimpse_cancelled_total", kind="live") == 1


async def test_a_client_that_does_not_read_gives_its_place_back(start):
    """Its answers would fill the memory; the stream ends after the longest pause."""
    live = FakeLive(bounds=LiveBounds(4, 200.0, 0.3, 16), message="x" * 2**20)
    gateway = start(live=live)
    async with connected(gateway.grpc) as stub:
        call = stub.Live(then_silence([options(), *frames(64, data=b"")]))
        assert (await call.read()).WhichOneof("part") == "opened"
        await asyncio.to_thread(counted, gateway, "DEADLINE_EXCEEDED")
        assert gateway.live.streams == 0
        # It does not take its status either, and is let go; others on its connection are not.
        await asyncio.to_thread(_no_call_is_kept, gateway)
        assert (await stub.GetServerInfo(pb.GetServerInfoRequest())).version
        _, refusal = await told(call)
        assert refusal.code() is grpc.StatusCode.CANCELLED


@pytest.mark.parametrize("ended", ["OK", "INTERNAL"])
async def test_a_client_that_never_takes_its_answer_is_let_go(start, fake_analyzer, monkeypatch, ended):
    """Also one whose call has come to its end, with what was written last still on its way."""
    monkeypatch.setattr("server.api.grpc.calls._STATUS_S", 0.2)
    monkeypatch.setattr(
        "server.api.grpc.clips.convert.report", lambda _: pb.AnalyzeResponse(report={"id": "x" * 2**18})
    )
    error = WorkerCrashed("died", stage="decode") if ended == "INTERNAL" else None
    gateway = start(fake_analyzer(error=error), limits={"upload_idle_seconds": 0.3}, server={"answer_seconds": 0.3})
    reader, writer = await asyncio.open_connection(*gateway.grpc.split(":"))
    closed = http2.frame(http2.SETTINGS, (4).to_bytes(2) + (1).to_bytes(4))
    writer.write(http2.PREFACE + closed + http2.call(ANALYZE))
    for message in clip(b"x"):
        writer.write(http2.message(message.SerializeToString()))
    writer.write(http2.frame(http2.DATA, flags=http2.END_STREAM, stream=1))
    kinds = [http2.HEADERS]
    async for kind, _ in http2.frames(reader):
        kinds.append(kind)
        if kind == http2.RESET or kinds.count(http2.HEADERS) > 2:
            break
    writer.close()
    assert kinds[-1] in {http2.RESET, http2.HEADERS}
    await asyncio.to_thread(_no_call_is_kept, gateway)


def _no_call_is_kept(gateway):
    loop = gateway.server.servers[0].get_loop()
    while any(task.get_name() == "rpc_task" for task in asyncio.all_tasks(loop)):
        gateway.client.get("/livez")


async def test_a_shutdown_ends_streams_with_their_statistics(gateway):
    """They are told to come back; new calls are refused."""
    async with connected(gateway.grpc) as stub:
        call = stub.Live(then_silence([options(), *frames(2)]))
        assert (await call.read()).WhichOneof("part") == "opened"
        assert (await call.read()).frame_result.frame_index == 0
        gateway.server.should_exit = True
        answers, refusal = await told(call)
    assert parts(answers)[-1] == "stats"
    assert (refusal.code().name, refusal.details()) == ("RESOURCE_EXHAUSTED", "the service is shutting down")


async def test_each_call_is_one_record_in_the_log(gateway, caplog):
    """With method, status and request id, and nothing of what was sent."""
    with caplog.at_level(logging.INFO, "server"):
        await analyzed(gateway, clip(b"x"))
    (record,) = [record for record in caplog.records if getattr(record, "method", "") == "GRPC"]
    assert (record.route, record.status) == (ANALYZE, "OK")
