"""Traces of a service as an operator starts it, with real workers, from the request to the stages and back."""

import pytest
from glimpse.v1 import micro_expressions_pb2 as pb
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.grpc_calls import connected, told
from tests.live_frames import SAMPLES, WAIT, requests, sample
from tests.otlp_sink import misplaced, sinking, tree

CLIP = (SAMPLES / "positive.mp4").read_bytes()
FIRST = {"first pass": {"decode": {}, "faces": {}, "spotting": {}}}
SECOND = {"second pass": {"decode": {}, "faces": {}, "flow": {}, "recipes": {}}}
WORKED = {
    "upload": {},
    "admission": {},
    "model": {},
    "worker": {"worker wait": {}, **FIRST, "spotting": {}, **SECOND},
    "inference": {},
    "report": {},
}


@pytest.fixture(scope="module")
def sink():
    """A collector."""
    with sinking() as running:
        yield running


@pytest.fixture(scope="module")
def service(start_service, sink):
    """A service that sends its traces there."""
    with start_service(GLIMPSE_TELEMETRY__OTLP_ENDPOINT=f"http://{sink.address}") as running:
        yield running


def test_a_clip_is_traced_through_its_worker(service, sink):
    """Each pass and each stage within it, at their times, as children of the worker's span; the report has the same."""
    report = service.analyze(CLIP).json()
    seen = sink.request(report["id"])
    spans = sink.trace(seen.trace)
    assert tree(spans) == {"POST /v1/analyze": WORKED}
    assert list(tree(spans)["POST /v1/analyze"]) == list(WORKED)
    assert misplaced(spans) == []
    [worker] = [x for x in spans if x.name == "worker"]
    assert worker.attributes == {"glimpse.clip.frames": 75, "glimpse.clip.movements": 1}
    assert [x["glimpse.stage"] for _, x in worker.events] == ["decode", "faces", "spotting", "flow"]
    for stage in ("decode", "faces", "spotting", "flow"):
        busy_s = sum(x.attributes["glimpse.busy_s"] for x in spans if x.name == stage)
        assert busy_s * 1000 == pytest.approx(report["timings_ms"][stage], abs=5)
    [inference] = [x for x in spans if x.name == "inference"]
    assert (inference.attributes["glimpse.model"], inference.attributes["glimpse.batch"]) == ("glimpse_flow", 1)


async def test_a_clip_by_grpc_has_the_same_tree(service, sink):
    """Below the span of its method."""
    pieces = [pb.AnalyzeRequest(options=pb.AnalyzeOptions()), pb.AnalyzeRequest(data=CLIP)]
    async with connected(service.grpc) as stub:
        _, error = await told(stub.Analyze(iter(pieces), metadata=(("x-request-id", "by-grpc"),)))
    assert error is None
    spans = sink.trace(sink.request("by-grpc").trace)
    assert tree(spans) == {"glimpse.v1.MicroExpressions/Analyze": WORKED}
    assert misplaced(spans) == []


def test_a_clip_that_cannot_be_read_says_how_far_it_came(service, sink):
    """The worker's span fails with the code, and has the stage that was begun."""
    answer = service.analyze(b"no clip at all")
    seen = sink.request(answer.headers["x-request-id"])
    [worker] = [x for x in sink.trace(seen.trace) if x.name == "worker"]
    assert (worker.span.status.code, worker.span.status.message) == (Status.STATUS_CODE_ERROR, answer.json()["code"])
    assert worker.events == [("stage", {"glimpse.stage": "decode"})]


async def test_movements_of_a_stream_have_traces_of_their_own(service, sink):
    """Each is linked to the span of its stream, which counts frames but has none of them as a span."""
    async with connected(service.grpc) as stub:
        call = stub.Live(requests(sample("positive.mp4"), policy=WAIT), metadata=(("x-request-id", "stream"),))
        answers, error = await told(call)
    assert error is None
    stats = answers[-1].stats
    seen = sink.request("stream")
    spans = sink.trace(seen.trace)
    assert tree(spans) == {"glimpse.v1.MicroExpressions/Live": {"model": {}, "worker wait": {}}}
    counted = {name: seen.attributes[f"glimpse.live.{name}"] for name in ("received", "analysed", "events")}
    assert counted == {"received": stats.received, "analysed": stats.analysed, "events": stats.events}
    movements = [x for x in sink.spans if x.name == "movement" and x.attributes["glimpse.request_id"] == "stream"]
    assert len(movements) == stats.events > 0
    for each in movements:
        assert each.links == [(seen.trace, seen.id)]
        spans = sink.trace(each.trace)
        assert tree(spans) == {"movement": {"decode": {}, "faces": {}, "flow": {}, "recipes": {}, "inference": {}}}
        assert misplaced(spans) == []
        assert each.attributes["glimpse.live.outcome"] == "event"
