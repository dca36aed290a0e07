"""Probes and metrics."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.errors import BackendUnavailable
from server.pipeline.base import Readiness


def test_liveness_does_not_ask_the_backend(start, fake_analyzer):
    """A backend that fails every check leaves the process alive."""
    gateway = start(fake_analyzer(ready=BackendUnavailable("down"), error=BackendUnavailable("down")))
    assert gateway.client.get("/livez").json() == {"status": "ok"}


def test_readiness_tells_why_not(start, fake_analyzer):
    """503 with the reasons of the pipeline, 200 once there are none."""
    gateway = start(fake_analyzer(ready=Readiness(ready=False, reasons=("no worker runs",))))
    answer = gateway.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "reasons": ["no worker runs"]})
    gateway.analyzer.ready = Readiness(ready=True)
    assert gateway.client.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_head_is_answered_as_get_without_the_body(start, fake_analyzer, path):
    """Load balancers ask so; the status is that of GET."""
    gateway = start(fake_analyzer(ready=Readiness(ready=False, reasons=("no worker runs",))))
    answer = gateway.client.head(path)
    assert (answer.status_code, answer.content) == (gateway.client.get(path).status_code, b"")
    assert gateway.metric("glimpse_requests_total", route=path, status=str(answer.status_code)) >= 2


@pytest.mark.parametrize("error", [BackendUnavailable("down"), RuntimeError("secret")])
def test_a_check_that_fails_means_not_ready(gateway, error):
    """Never 500, and nothing of the exception."""
    gateway.analyzer.ready = error
    answer = gateway.client.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert "secret" not in answer.text


def test_every_status_is_counted_by_route_template(gateway):
    """Raw paths never become labels, and refusals count like answers."""
    gateway.client.get("/v1/models/one")
    gateway.client.get("/v1/models/two")
    gateway.client.get("/v1/models/ststnet")
    gateway.client.get("/anything/at/all")
    gateway.client.put("/livez")
    assert gateway.metric("glimpse_requests_total", route="/v1/models/{name}", status="404") == 2
    assert gateway.metric("glimpse_requests_total", route="/v1/models/{name}", status="200") == 1
    assert gateway.metric("glimpse_requests_total", route="unmatched", status="404") == 1
    assert gateway.metric("glimpse_requests_total", route="/livez", status="405") == 1
    assert gateway.metric("glimpse_request_seconds_count", route="/v1/models/{name}") == 3
    assert gateway.metric("glimpse_rejected_total", reason="unknown-model") == 2


def test_metrics_are_what_prometheus_reads(gateway):
    """The content type names the format and a parser accepts the text."""
    answer = gateway.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"glimpse_build_info", "glimpse_request_seconds", "process_resident_memory_bytes"} <= names
