"""Spans of requests on a real socket, sent by the real exporter to a collector that keeps them."""

import ast
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
import trustme
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from server.errors import ConfigurationError, NoFace, WorkerCrashed
from server.settings import load, rows
from server.spans import ATTRIBUTES, NO_SPAN, current
from server.telemetry.logging import JsonFormatter
from server.telemetry.metrics import Metrics
from server.telemetry.otlp import Destination
from server.telemetry.tracing import OtlpTracer
from server.traces import open_tracer
from tests.grpc_calls import connected, frames, options, told
from tests.otlp_sink import sinking, tree
from tests.ws_calls import frame, lived

ROOT = Path(__file__).parents[2]
CLIP = {"clip": ("family name.mp4", b"clip")}
THEIRS, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OPENMETRICS = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}


@pytest.fixture(scope="module")
def sink():
    """A collector for all tests of this file."""
    with sinking() as running:
        yield running


@pytest.fixture(scope="module")
def traced(start_once, sink):
    """Starts gateways that send their spans there, with further settings of telemetry."""
    return lambda **telemetry: start_once(telemetry={"otlp_endpoint": f"http://{sink.address}", **telemetry})


@pytest.fixture(scope="module")
def gateway(traced):
    """One that traces every request."""
    return traced()


def analyzed(gateway, request_id, **headers):
    """Post a clip under a request id."""
    return gateway.client.post("/v1/analyze", files=CLIP, headers={"x-request-id": request_id, **headers})


def test_a_request_is_a_tree_of_spans(gateway, sink):
    """The route as a template, and what the gateway did for the request; the service is named."""
    assert analyzed(gateway, "whole").status_code == 200
    seen = sink.request("whole")
    assert tree(sink.trace(seen.trace)) == {"POST /v1/analyze": {"upload": {}, "admission": {}, "report": {}}}
    assert seen.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/analyze",
        "http.response.status_code": 200,
        "glimpse.request_id": "whole",
    }
    assert seen.span.status.code == Status.STATUS_CODE_UNSET
    assert seen.resource["service.name"] == "glimpse"


def test_a_refusal_has_its_code_and_is_no_failure(gateway, sink):
    """Its text is not told; neither is the address of what does not exist, nor a method that nobody knows."""
    gateway.analyzer.error = NoFace("words of a refusal", stage="faces")
    try:
        assert analyzed(gateway, "refused").status_code == 422
    finally:
        gateway.analyzer.error = None
    seen = sink.request("refused")
    assert seen.attributes["error.type"] == "no-face"
    assert seen.span.status == Status()
    gateway.client.request("NAME", "/persons/family-name?name=x", headers={"x-request-id": "nowhere"})
    nowhere = sink.request("nowhere")
    assert (nowhere.name, nowhere.attributes["http.request.method"]) == ("_OTHER unmatched", "_OTHER")
    assert not [data for data in sink.received if b"words of" in data or b"family" in data or b"NAME" in data]


@pytest.mark.parametrize(
    ("error", "code"), [(WorkerCrashed("words of a failure"), "worker-crashed"), (KeyError("words"), "internal")]
)
def test_a_failure_is_one_of_its_span(gateway, sink, error, code):
    """With the code of the problem as its description, and nothing of the exception but that."""
    gateway.analyzer.error = error
    try:
        assert analyzed(gateway, f"failed-{code}").status_code >= 500
    finally:
        gateway.analyzer.error = None
    seen = sink.request(f"failed-{code}")
    assert (seen.span.status.code, seen.span.status.message) == (Status.STATUS_CODE_ERROR, code)
    assert seen.attributes["error.type"] == code
    assert not [data for data in sink.received if b"words" in data]


async def test_calls_of_grpc_are_traced(gateway, sink):
    """By method and status; a refused one has its code."""
    async with connected(gateway.grpc) as stub:
        _, error = await told(stub.Live(iter([*frames(1)]), metadata=(("x-request-id", "rpc"),)))
    assert error is not None
    seen = sink.request("rpc")
    assert seen.name == seen.attributes["rpc.method"] == "glimpse.v1.MicroExpressions/Live"
    assert seen.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert (seen.attributes["error.type"], seen.span.status) == ("invalid-option", Status())
    async with connected(gateway.grpc) as stub:
        _, error = await told(stub.Live(iter([options(), *frames(2)]), metadata=(("x-request-id", "rpc-live"),)))
    assert error is None
    assert sink.request("rpc-live").attributes["rpc.response.status_code"] == "OK"


async def test_sockets_are_traced(gateway, sink):
    """From the handshake to the close, whose code is told."""
    end = '{"type":"end"}'
    _, code, _ = await lived(gateway.url, [frame(0), end], additional_headers={"x-request-id": "socket"})
    seen = sink.request("socket")
    assert (seen.name, seen.attributes["websocket.close_code"]) == ("GET /v1/live", code)


def test_probes_are_not_traced_nor_take_over_a_trace(gateway, sink, caplog):
    """Though they come on the connection of a request that was: neither their spans nor their records tell of it."""
    with caplog.at_level(logging.INFO, logger="server"):
        caplog.handler.setFormatter(JsonFormatter())
        assert analyzed(gateway, "before").status_code == 200
        for path in ("/livez", "/readyz", "/metrics"):
            assert gateway.client.get(path, headers={"x-request-id": "probe"}).status_code == 200
        assert analyzed(gateway, "after").status_code == 200
        seen = sink.request("after")
    assert "probe" not in {x.attributes.get("glimpse.request_id") for x in sink.spans}
    lines = [json.loads(line) for line in caplog.handler.stream.getvalue().splitlines()]
    by_id = {line["request_id"]: line for line in lines if line.get("message") == "request"}
    assert (by_id["after"]["trace_id"], by_id["after"]["span_id"]) == (seen.trace, seen.id)
    assert "trace_id" not in by_id["probe"]


def test_exemplars_lead_to_traces(gateway, sink):
    """For who asks for OpenMetrics, buckets name the trace of a request that fell into them; plain text does not."""
    analyzed(gateway, "exemplary")
    seen = sink.request("exemplary")
    answer = gateway.client.get("/metrics", headers=OPENMETRICS)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    samples = families["glimpse_request_seconds"].samples
    found = [x.exemplar.labels for x in samples if x.exemplar and x.labels["route"] == "/v1/analyze"]
    assert {"trace_id": seen.trace, "span_id": seen.id} in found
    assert families["glimpse_requests"].type == "counter"
    assert not [x for family in families.values() for x in family.samples if x.name.endswith("_created")]
    plain = gateway.client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "trace_id" not in plain.text


@pytest.mark.parametrize(
    ("accept", "is_openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("application/openmetrics-text", True),
        ("text/plain;q=0.5, Application/OpenMetrics-Text; Version=1.0.0; q=0.8", True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;version=words", False),
        ("application/openmetrics-text;q=0.0", False),
        ("application/openmetrics-text;;version", False),
    ],
)
def test_metrics_are_negotiated(accept, is_openmetrics):
    """OpenMetrics 1.0 where it is named, the text of Prometheus otherwise, and nothing of the header in the answer."""
    body, content_type = Metrics().exposition(accept)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0") == is_openmetrics
    assert body.endswith(b"# EOF\n") == is_openmetrics


@pytest.mark.parametrize("flag", ["00", "01"])
def test_a_stranger_forces_nothing(traced, sink, flag):
    """By default a caller's trace is linked, whatever it says of sampling; its other headers are not looked at."""
    share, linking = traced(trace_share=0.0), traced()
    parent = f"00-{THEIRS}-{SPAN}-{flag}"
    assert analyzed(share, f"forced-{flag}", traceparent=parent).status_code == 200
    analyzed(linking, f"linked-{flag}", traceparent=parent, tracestate="v=words", baggage="a=words")
    seen = sink.request(f"linked-{flag}")
    assert seen.links == [(THEIRS, SPAN)]
    assert (seen.parent, seen.span.trace_state) == ("", "")
    assert seen.trace != THEIRS
    assert f"forced-{flag}" not in {x.attributes.get("glimpse.request_id") for x in sink.spans}


def test_a_trace_goes_on_where_callers_are_trusted(traced, sink):
    """With its decision; a header that is malformed or comes twice begins a trace of its own."""
    trusting = traced(trace_context="continue", trace_share=0.0)
    analyzed(trusting, "not-taken", traceparent=f"00-{THEIRS}-{SPAN}-00")
    analyzed(trusting, "malformed", traceparent=f"00-{'0' * 32}-{SPAN}-01")
    twice = [("traceparent", f"00-{THEIRS}-{SPAN}-01")] * 2
    trusting.client.post("/v1/analyze", files=CLIP, headers=[("x-request-id", "twice"), *twice])
    analyzed(trusting, "taken", traceparent=f"00-{THEIRS}-{SPAN}-01", tracestate="v=words")
    seen = sink.request("taken")
    assert (seen.trace, seen.parent, seen.span.trace_state) == (THEIRS, SPAN, "")
    taken = {x.attributes.get("glimpse.request_id") for x in sink.spans}
    assert not taken & {"not-taken", "malformed", "twice"}


def test_ignored_callers_leave_nothing(traced, sink):
    """Neither a link nor a trace."""
    analyzed(traced(trace_context="ignore"), "ignored", traceparent=f"00-{THEIRS}-{SPAN}-01")
    assert sink.request("ignored").links == []


def test_an_endpoint_that_is_gone_costs_spans_alone(start, caplog):
    """Requests are answered as ever, what is lost is counted, and the log says so once."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        limits = {"otlp_timeout_seconds": 0.2, "otlp_flush_seconds": 2}
        gateway = start(telemetry={"otlp_endpoint": address, **limits})
        assert gateway.metric("glimpse_trace_spans_dropped_total", reason="export") == 0
        assert all(analyzed(gateway, f"lost-{n}").status_code == 200 for n in range(3))
        metrics = gateway.server.lifespan.state["gateway"].telemetry
        gateway.server.should_exit = True
        gateway.server.force_exit = False
        _until(lambda: b'glimpse_trace_spans_dropped_total{reason="export"} 12.0' in metrics.exposition()[0])
    assert [r.message for r in caplog.records if r.name == "server.telemetry.otlp"] == ["traces cannot be delivered"]


def _until(met):
    """Wait for what another thread does."""
    ends, pause = time.monotonic() + 20, threading.Event()
    while not met():
        assert time.monotonic() < ends
        pause.wait(0.02)


def test_spans_that_wait_are_delivered_at_the_end(traced, sink):
    """After the last answer, before the service is gone: nobody waits for the next batch."""
    gateway = traced()
    analyzed(gateway, "at-the-end")
    gateway.server.should_exit = True
    assert sink.request("at-the-end").attributes["http.response.status_code"] == 200


def test_an_endpoint_that_hangs_is_not_waited_for():
    """The queue is bounded, what does not fit is counted, and the end comes within its bound."""
    lost = {}

    def told(reason, spans):
        lost[reason] = lost.get(reason, 0) + spans

    with sinking() as sink:
        sink.held = threading.Event()
        tracer = OtlpTracer(Destination(sink.address, timeout_s=60, flush_s=0.1, queue_spans=512), told=told)
        for _ in range(512):
            tracer.request("first", "", {}).end()
        assert sink.arrived.wait(20)
        for _ in range(600):
            tracer.request("later", "", {}).end()
        ending = threading.Thread(target=tracer._delivery.end, args=(0.1,))
        ending.start()
        ending.join(20)
        assert not ending.is_alive()
    assert lost["queue"] == 88
    assert lost["end"] == 512


def test_variables_of_the_library_do_not_reach_it(monkeypatch, sink):
    """But for those that name the service: no header, sampler or limit comes from them."""
    variables = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=words",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "api-key=words",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_TRACES_SAMPLER": "always_off",
        "OTEL_BSP_MAX_QUEUE_SIZE": "1",
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "0",
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "1",
        "OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=glimpse-0,service.name=pod",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracer = OtlpTracer(Destination(sink.address, headers={"tenant": "lab"}), resource={"deployment.environment": "x"})
    tracer.request("named", "", {"glimpse.request_id": "by-variables"}).end()
    tracer._delivery.end(20)
    seen = sink.request("by-variables")
    assert seen.resource | {"service.name": "pod", "k8s.pod.name": "glimpse-0", "deployment.environment": "x"} == (
        seen.resource
    )
    assert sink.metadata[-1]["tenant"] == "lab"
    assert not any("api-key" in sent for sent in sink.metadata)


async def test_spans_travel_encrypted_with_the_headers_of_a_file(tmp_path):
    """To an endpoint of an authority that is named; a file that cannot be used is named too, and its content is not."""
    authority, ca, headers = trustme.CA(), tmp_path / "ca.crt", tmp_path / "headers"
    authority.cert_pem.write_to_path(ca)
    headers.write_text("api-key=secret\ntenant=lab\n", encoding="ascii")
    issued = authority.issue_cert("localhost")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    with sinking(grpc.ssl_server_credentials([(issued.private_key_pem.bytes(), chain)])) as sink:
        endpoint = f"https://localhost:{sink.address.rpartition(':')[2]}"
        given = {"otlp_endpoint": endpoint, "otlp_ca": str(ca), "otlp_headers_file": str(headers)}
        async with open_tracer(load({}, telemetry=given).telemetry, Metrics()) as tracer:
            tracer.request("encrypted", "", {}).end()
        assert sink.names == ["encrypted"]
        assert {"api-key": "secret", "tenant": "lab"}.items() <= sink.metadata[0].items()
    headers.write_text("secret words", encoding="ascii")
    unusable = [(given | {"otlp_ca": path}, "OTLP_CA") for path in ("/no/such/file", str(headers))]
    for wrong, name in ((given, "OTLP_HEADERS_FILE"), *unusable):
        with pytest.raises(ConfigurationError, match=f"GLIMPSE_TELEMETRY__{name}: ") as refused:
            async with open_tracer(load({}, telemetry=wrong).telemetry, Metrics()):
                pass
        assert "secret" not in refused.value.message


def test_the_library_can_be_switched_off(monkeypatch):
    """By its own variable."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracer = OtlpTracer(Destination("127.0.0.1:9"))
    assert tracer.request("any", "", {}) is NO_SPAN
    tracer._delivery.end(20)


def test_what_is_not_listed_is_not_kept(sink):
    """An attribute of another name, wherever it is given; a value is cut, and a link has none."""
    tracer = OtlpTracer(Destination(sink.address))
    span = tracer.request("listed", "", {"glimpse.request_id": "listed", "file.name": "words"})
    span.set({"user.id": "words", "glimpse.model": "m" * 1000})
    span.event("retry", {"exception.message": "words", "glimpse.retry.sent": True})
    span.linked("movement", {"enduser.id": "words", "glimpse.live.movement": 1}).end()
    span.end()
    tracer._delivery.end(20)
    seen = sink.request("listed")
    assert set(seen.attributes) == {"glimpse.request_id", "glimpse.model"}
    assert len(seen.attributes["glimpse.model"]) == 128
    assert seen.events == [("retry", {"glimpse.retry.sent": True})]
    movement = sink.first(lambda x: x.name == "movement")
    assert movement.links == [(seen.trace, seen.id)]
    assert movement.trace != seen.trace
    assert not [data for data in sink.received if b"words" in data]


def _spoken():
    """Names of attributes that the code gives to spans."""
    for path in (ROOT / "server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict) and path.name != "spans.py":
                keys = {key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
                yield from (key for key in keys if re.match(r"(http|rpc|websocket|glimpse|error)\.", key))


def test_every_attribute_is_listed_and_every_listed_one_is_documented():
    """The code gives no other; the manual shows the list, with the same words."""
    spoken = set(_spoken())
    assert "http.route" in spoken
    assert spoken <= set(ATTRIBUTES)
    manual = (ROOT / "docs" / "tracing.md").read_text(encoding="utf-8")
    assert [row for row in (f"| `{name}` | {what} |" for name, what in ATTRIBUTES.items()) if row not in manual] == []
    assert set(re.findall(r"^\| `([a-z_.]+\.[a-z_.]+)` \|", manual, re.MULTILINE)) == set(ATTRIBUTES)


def test_every_setting_is_in_the_manual():
    """With its default."""
    manual = (ROOT / "docs" / "tracing.md").read_text(encoding="utf-8")
    for row in rows(load({})):
        if re.match(r"GLIMPSE_TELEMETRY__(OTLP|TRACE|SERVICE|RESOURCE)", row.name):
            shown = f"`{str(row.default).removesuffix('.0')}`" if row.default not in {"", False} else ""
            assert f"| `{row.name}` | {shown}" in manual, row.name


def test_without_an_endpoint_nothing_is_loaded():
    """Neither the library that makes spans nor the exporter, in a process that builds the whole application."""
    script = """
import asyncio, sys
from server.app import create_app
from server.settings import load
from server.telemetry.metrics import Metrics
from server.traces import open_tracer
create_app(load({}))
async def nothing():
    async with open_tracer(load({}).telemetry, Metrics()):
        pass
asyncio.run(nothing())
loaded = [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
assert not loaded, loaded
"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GLIMPSE_")}
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=clean, check=True, timeout=60)


def test_without_a_request_there_is_no_span():
    """What works on nothing that is traced tells nobody, and sends no header."""
    assert current() is NO_SPAN
    assert NO_SPAN.child("any") is NO_SPAN
    assert not NO_SPAN.carrier
