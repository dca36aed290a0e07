"""The trace of a request goes on in a real Triton, which sends its own spans to a collector."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from server.predict.triton import TritonPredictor
from server.spans import entered
from server.telemetry.otlp import Destination
from server.telemetry.tracing import OtlpTracer
from tests.otlp_sink import sinking

PATIENCE_S = 20
_TRIES = 12
"""This Triton loses the context of some requests (docs/tracing.md)."""


class Collector(ThreadingHTTPServer):
    """Keeps what Triton sends as OTLP in JSON over HTTP: trace and parent of each of its requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Posts)
        self.seen = []
        self.changed = threading.Condition()


class _Posts(BaseHTTPRequestHandler):
    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        spans = [span for each in told["resourceSpans"] for scope in each["scopeSpans"] for span in scope["spans"]]
        with self.server.changed:
            self.server.seen += [(span["traceId"], span.get("parentSpanId", "")) for span in spans]
            self.server.changed.notify_all()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        """Not to the terminal."""


@pytest.fixture
def collector():
    """One that listens."""
    with Collector() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.mark.timeout(150)
async def test_triton_goes_on_with_the_trace(triton_server_factory, maker, tiny, collector):
    """Its spans are children of ours in the same trace; a request that is not traced has none there either."""
    maker.add("tiny")
    url = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    settings = ("mode=opentelemetry", f"opentelemetry,url={url}", "rate=1000000", "level=TIMESTAMPS")
    words = " ".join(f"--trace-config {setting}" for setting in (*settings, "opentelemetry,bsp_schedule_delay=50"))
    launcher = ["/bin/sh", "-c", f'exec "$@" {words}', "sh"]
    # Asked to end, it sends what it still has.
    server = triton_server_factory(maker.path, launcher=launcher, stop_timeout_s=6.0)
    predictor = TritonPredictor(server.grpc_address, recipes=[tiny.recipe])
    with sinking() as sink:
        tracer = OtlpTracer(Destination(sink.address))
        await predictor.predict("tiny", tiny.batch(1), deadline=time.monotonic() + PATIENCE_S)
        for _ in range(_TRIES):
            with entered(tracer.request("asked", "", {})):
                await predictor.predict("tiny", tiny.batch(1), deadline=time.monotonic() + PATIENCE_S)
        await tracer.close()
        await predictor.close()
        calls = {(x.trace, x.id) for x in sink.spans if x.name == "inference.GRPCInferenceService/ModelInfer"}
    server.stop()
    assert len(calls) == _TRIES
    with collector.changed:
        assert collector.changed.wait_for(lambda: calls & set(collector.seen), PATIENCE_S)
        roots = {trace for trace, parent in collector.seen if not parent or (trace, parent) in calls}
    assert roots <= {trace for trace, _ in calls}
