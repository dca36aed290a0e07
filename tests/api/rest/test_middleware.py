"""What surrounds every request."""

import json

import pytest


def test_the_callers_request_id_is_kept(gateway):
    """It comes back in the header and in the problem."""
    answer = gateway.client.get("/nope", headers={"x-request-id": "case-4711_a.b"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "case-4711_a.b"


@pytest.mark.parametrize("offered", ["", "a" * 129, "two words", 'quo"te', "<b>", "a/../b"])
def test_an_id_that_is_not_harmless_is_replaced(gateway, offered):
    """Nothing long or odd reaches the log."""
    answer = gateway.client.get("/livez", headers={"x-request-id": offered})
    assert answer.headers["x-request-id"] not in ("", offered)
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("GET", "/v1/analyze", 405)])
def test_refusals_of_the_framework_are_problems_too(gateway, method, path, status):
    """One form of error for everything."""
    answer = gateway.client.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"].startswith("/problems/")
    assert gateway.client.get(answer.json()["type"]).status_code == 200
    assert ("allow" in answer.headers) == (status == 405)


def test_requests_are_logged_without_anything_personal(gateway, caplog):
    """Id, method, route, status and duration; no file name, option, path or address."""
    caplog.set_level("DEBUG")
    name = "Jane-Doe-2026.mp4"
    files = {"clip": (name, b"abc", "video/mp4")}
    gateway.client.post("/v1/analyze?model=jane", files=files, headers={"x-request-id": "the-id"})
    gateway.client.get("/v1/models/jane-doe")
    gateway.analyzer.error = RuntimeError("unforeseen")
    gateway.client.post("/v1/analyze", files=files)
    records = [record for record in caplog.records if record.name.startswith("server")]
    lines = [json.dumps(record.__dict__, default=str) for record in records]
    [first] = [record for record in records if record.getMessage() == "request" and record.status == 200]
    assert (first.method, first.route, first.status) == ("POST", "/v1/analyze", 200)
    assert first.duration_ms >= 0
    for line in lines:
        assert "jane" not in line.lower()
        assert "127.0.0.1" not in line
    assert any("unforeseen" in line for line in lines)


def test_nobody_is_sent_to_the_host_that_a_request_names(start):
    """An address with a slash too many is not found; it is no redirect to a forged host."""
    gateway = start(server={"allowed_hosts": "*"})
    answer = gateway.client.get("/v1/models/", headers={"host": "evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert "evil" not in str(answer.headers) + answer.text
