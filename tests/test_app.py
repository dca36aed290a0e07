"""Starting, draining and stopping the service."""

import re
import socket
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server.app import renderers
from server.errors import BackendUnavailable, ConfigurationError
from server.pipelines import open_pipeline, open_predictor, open_service
from server.service import listen, run, url_of
from server.settings import load
from server.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[1]
VIDEO = {"content-type": "video/mp4"}


def test_a_taken_port_is_a_plain_sentence():
    """The address and the setting that chooses another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}: Address already in use.*GLIMPSE_SERVER__PORT"):
            run(load({}, server={"port": port}))
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}: .*GLIMPSE_SERVER__GRPC_PORT"):
            run(load({}, server={"port": 0, "grpc_port": port}))


def test_the_url_is_one_that_a_client_can_use():
    """Also where the service listens everywhere."""
    with listen(load({}, server={"port": 0, "host": "0.0.0.0"})) as listener:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url_of(listener))


def test_answers_are_sent_without_delay():
    """A connection inherits the protocol by which the event loop knows to send small pieces at once."""
    with listen(load({}, server={"port": 0})) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_a_backend_that_is_away_does_not_keep_the_service_from_starting(start, fake_analyzer):
    """It answers probes, is not ready, and becomes ready by itself."""
    gateway = start(fake_analyzer(ready=BackendUnavailable("down")))
    assert gateway.client.get("/livez").status_code == 200
    assert gateway.client.get("/readyz").status_code == 503


def test_requests_in_flight_are_answered_at_shutdown(start, fake_analyzer):
    """New connections are refused, the accepted request gets its report."""
    gateway = start(fake_analyzer(held=True))
    with ThreadPoolExecutor(1) as callers:
        answer = callers.submit(lambda: gateway.client.post("/v1/analyze", content=b"abc", headers=VIDEO))
        assert gateway.analyzer.started.acquire(timeout=20)
        gateway.server.should_exit = True
        while not refused(gateway.address):
            assert not answer.done()
        gateway.analyzer.release()
        assert answer.result().status_code == 200


def refused(address):
    try:
        socket.create_connection(address, timeout=5).close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset where the socket closes while it is being reached
        return True
    return False


def test_what_does_not_end_is_cancelled_at_shutdown(start, fake_analyzer, caplog):
    """The drain time bounds the wait; the caller is told to come back, and no stack trace is logged."""
    gateway = start(fake_analyzer(held=True), server={"drain_seconds": 1})
    with ThreadPoolExecutor(1) as callers:
        answer = callers.submit(lambda: gateway.client.post("/v1/analyze", content=b"abc", headers=VIDEO))
        assert gateway.analyzer.started.acquire(timeout=20)
        gateway.server.should_exit = True
        assert gateway.analyzer.cancelled.wait(20)
        refusal = answer.result()
    assert (refusal.status_code, refusal.json()["retryable"]) == (429, True)
    assert "shutting down" in refusal.json()["detail"]
    assert "Traceback" not in caplog.text


async def test_the_local_models_are_opened(tmp_path):
    """The folder of the settings, or a sentence that names it."""
    async with open_predictor(load({}, backend={"repository": str(ROOT / "model_repository")})) as predictor:
        assert predictor.backend == "local"
    with pytest.raises(ConfigurationError):
        async with open_predictor(load({}, backend={"repository": str(tmp_path / "none")})):
            pytest.fail("opened")


async def test_triton_is_not_asked_before_it_is_needed():
    """A gateway may start before its backend."""
    async with open_predictor(load({}, backend={"kind": "triton", "triton_address": "127.0.0.1:9"})) as predictor:
        assert predictor.backend == "triton"


async def test_the_whole_pipeline_gets_ready():
    """Workers start, the default model answers, and everything ends."""
    tree = load({}, workers={"count": 1, "spare": 0}, backend={"repository": str(ROOT / "model_repository")})
    metrics = Metrics()
    async with open_pipeline(tree, metrics) as analyzer:
        assert (await analyzer.readiness()).ready
    assert b"glimpse_backend_up 1.0" in metrics.exposition()[0]


async def test_what_live_streams_may_send_is_measured_unless_it_is_set():
    """At start, in the process that waits for the first stream."""
    groups = {"workers": {"count": 1, "spare": 0}, "backend": {"repository": str(ROOT / "model_repository")}}
    async with open_service(load({}, **groups), Metrics()) as (_, live):
        assert live.bounds.frames_per_s > 0
    async with open_service(load({}, live={"frames_per_second": 77}, **groups), Metrics()) as (_, live):
        assert live.bounds.frames_per_s == 77


def test_reports_are_rendered_as_the_document_says():
    """CSV, with columns of coding sheets too, pictures, ELAN and JSON Lines."""
    columns = {"text/csv;columns=casme2", "text/csv;columns=samm"}
    pictures = {"image/png", "image/svg+xml", "application/pdf"}
    assert set(renderers()) == {"text/csv", *columns, *pictures, "text/x-eaf+xml", "application/x-ndjson"}


def test_the_commands_are_installed():
    """`glimpse` is the function that `python -m server` calls."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["glimpse"] == "server.cli:main"
