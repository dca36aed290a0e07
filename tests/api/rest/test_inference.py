"""POST /v1/analyze and /v1/classify over a real socket."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from server import errors
from server.api.status import TABLE
from server.types import Progress


def clip(content=b"bytes of a clip", name="secret-name.mp4"):
    return {"clip": (name, content, "video/mp4")}


def events(text):
    blocks = [block for block in text.split("\n\n") if block and not block.startswith(":")]
    return [
        (lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: ")))
        for lines in map(str.splitlines, blocks)
    ]


def test_a_clip_in_a_form_is_answered_with_its_report(gateway):
    """The pipeline gets the file's bytes as they are, and its report comes back as JSON."""
    content = b"\r\n--not the boundary\r\n" + bytes(range(256)) * 500
    answer = gateway.client.post("/v1/analyze", files=clip(content))
    assert answer.status_code == 200
    assert gateway.analyzer.calls[0]["data"] == content
    assert answer.json()["events"][0]["label"] == "positive"
    assert answer.json()["id"] == answer.headers["x-request-id"]
    assert answer.headers["glimpse-model"] == "ststnet; version=1; backend=fake"
    assert answer.headers["server-timing"] == "decode;dur=12.5, inference;dur=1.0"


@pytest.mark.parametrize("content_type", ["video/mp4", "video/x-matroska", "application/octet-stream"])
def test_a_clip_may_be_the_whole_body(gateway, content_type):
    """A raw body of a video type is the clip."""
    answer = gateway.client.post("/v1/analyze", content=b"abc", headers={"content-type": content_type})
    assert answer.status_code == 200
    assert gateway.analyzer.calls[0]["data"] == b"abc"


@pytest.mark.parametrize("where", ["params", "data"])
def test_options_come_from_the_query_or_the_form(gateway, where):
    """Both places mean the same."""
    given = {"model": "other", "version": "2", "faces": "all", "onset_s": "0.5", "apex_s": "1", "kinds": "micro"}
    answer = gateway.client.post("/v1/analyze", files=clip(), **{where: given})
    assert answer.status_code == 200
    options = gateway.analyzer.calls[0]["options"]
    assert (options.model, options.version, options.faces) == ("other", "2", "all")
    assert (options.onset_s, options.apex_s, options.kinds) == (0.5, 1.0, frozenset({"micro"}))


def test_without_options_the_defaults_hold(gateway):
    """Largest face, all kinds, the service's model."""
    gateway.client.post("/v1/analyze", files=clip())
    options = gateway.analyzer.calls[0]["options"]
    assert (options.model, options.faces, options.kinds) == (None, "largest", frozenset({"micro", "macro"}))


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"faces": "both"}, "faces"),
        ({"onset_s": "-1", "apex_s": "2"}, "onset_s"),
        ({"onset_s": "nan", "apex_s": "2"}, "onset_s"),
        ({"onset_s": "early", "apex_s": "2"}, "onset_s"),
        ({"onset_s": "2", "apex_s": "1"}, "apex_s"),
        ({"kinds": "nano"}, "kinds"),
        ({"kinds": ""}, "kinds"),
        ({"include": "sound"}, "include"),
        ({"include": "signals,"}, "include"),
        ({"include": "pictures", "detail": "minimal"}, "include"),
        ({"explain": "true", "detail": "minimal"}, "explain"),
        ({"explain": "maybe"}, "explain"),
        ({"deadline_s": "0"}, "deadline_s"),
        ({"model": "../etc"}, "model"),
        ({"version": "latest"}, "version"),
        ({"face": "all"}, "face"),
    ],
)
@pytest.mark.parametrize("where", ["params", "data"])
def test_a_wrong_option_is_named(gateway, given, option, where):
    """422 with the option's name, before the pipeline is asked."""
    answer = gateway.client.post("/v1/analyze", files=clip(), **{where: given})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "invalid-option"
    assert answer.json()["option"] == option
    assert gateway.analyzer.calls == []


def test_an_option_given_twice_is_refused(gateway):
    """The query and the form may not contradict each other."""
    answer = gateway.client.post("/v1/analyze?faces=all", files=clip(), data={"faces": "largest"})
    assert (answer.status_code, answer.json()["option"]) == (422, "faces")
    answer = gateway.client.post("/v1/analyze?faces=all&faces=all", files=clip())
    assert (answer.status_code, answer.json()["option"]) == (422, "faces")


@pytest.mark.parametrize(("value", "warned"), [("true", True), ("false", False), ("0", False), ("1", True)])
def test_explain_is_a_real_boolean(gateway, value, warned):
    """The text false is false; true is answered with a warning, as no model explains."""
    answer = gateway.client.post("/v1/analyze", files=clip(), data={"explain": value})
    codes = [warning["code"] for warning in answer.json()["warnings"]]
    assert codes == (["explain-unavailable"] if warned else [])


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({}, set()),
        ({"include": ""}, set()),
        ({"include": "signals"}, {"signals"}),
        ({"include": "pictures"}, {"pictures"}),
        ({"include": "pictures,signals"}, {"signals", "pictures"}),
    ],
)
def test_a_report_shows_what_was_asked_for(gateway, given, keys):
    """And nothing else: what nobody asked for is not even empty. As JSON and as the last event of a stream."""
    answer = gateway.client.post("/v1/analyze", files=clip(), params=given)
    stream = gateway.client.post("/v1/analyze", files=clip(), data=given, headers={"accept": "text/event-stream"})
    (_, streamed) = events(stream.text)[-1]
    for report in (answer.json(), streamed):
        assert {"signals", "pictures"} & {*report, *report["events"][0]} == keys
    assert gateway.analyzer.calls[0]["options"].include == keys


def test_deadlines_can_only_be_shortened(start):
    """The caller's deadline holds where it is lower, the service's where it is not."""
    gateway = start(server={"request_deadline_seconds": 30.0})
    before = time.monotonic()
    for wanted in ("5", "300"):
        gateway.client.post("/v1/analyze", files=clip(), data={"deadline_s": wanted})
    after = time.monotonic()
    short, long = (call["deadline"] for call in gateway.analyzer.calls)
    assert before + 5 <= short <= after + 5
    assert before + 30 <= long <= after + 30


@pytest.mark.parametrize(
    ("accept", "content_type", "start_of_body"),
    [
        ("text/csv", "text/csv; charset=utf-8", b"id\n"),
        ("image/png", "image/png", b"\x89PNG"),
        ("image/*", "image/png", b"\x89PNG"),
        ("text/csv;q=0.5, application/json;q=0.4", "text/csv; charset=utf-8", b"id\n"),
        ("*/*", "application/json", b"{"),
        ("application/json, text/plain;q=0.9", "application/json", b"{"),
    ],
)
def test_the_client_chooses_the_representation(gateway, accept, content_type, start_of_body):
    """The Accept header decides, with its ratings."""
    answer = gateway.client.post("/v1/analyze", files=clip(), headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == content_type
    assert answer.content.startswith(start_of_body)


@pytest.mark.parametrize("path", ["/v1/analyze", "/v1/classify"])
def test_what_cannot_be_given_is_406(gateway, path):
    """The problem lists what there is, and the body is not even read."""
    answer = gateway.client.post(path, files=clip(), headers={"accept": "application/xml, image/png;q=0"})
    assert answer.status_code == 406
    assert "application/json" in answer.json()["offers"]
    assert gateway.analyzer.calls == []


def test_progress_is_streamed_then_the_report(start, fake_analyzer):
    """Server-sent events: the progress of each stage, then one report."""
    gateway = start(
        fake_analyzer(progress=[Progress("decode", 1, 2), Progress("decode", 2, 2), Progress("flow", 1, 1)])
    )
    answer = gateway.client.post("/v1/analyze", files=clip(), headers={"accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    got = events(answer.text)
    assert got[:2] == [
        ("progress", {"stage": "decode", "done": 2, "total": 2}),
        ("progress", {"stage": "flow", "done": 1, "total": 1}),
    ]
    assert [name for name, _ in got[2:]] == ["report"]
    assert got[-1][1]["id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(("error", "code"), [(errors.NoFace("no face"), "no-face"), (ValueError("secret"), "internal")])
def test_a_stream_that_fails_ends_with_a_problem(start, fake_analyzer, error, code):
    """The stream has status 200 by then, so the problem is its last event."""
    gateway = start(fake_analyzer(error=error))
    answer = gateway.client.post("/v1/analyze", files=clip(), headers={"accept": "text/event-stream"})
    name, problem = events(answer.text)[-1]
    assert (name, problem["code"], problem["request_id"]) == ("problem", code, answer.headers["x-request-id"])
    assert "secret" not in answer.text


def test_two_pictures_are_classified(gateway):
    """The onset and the apex picture go in, a label comes out."""
    files = {"onset": ("a.png", b"onset bytes"), "apex": ("b.png", b"apex bytes")}
    answer = gateway.client.post("/v1/classify", files=files, data={"model": "ststnet"})
    assert answer.status_code == 200
    assert answer.json()["label"] == "positive"
    call = gateway.analyzer.calls[0]
    assert (call["onset"], call["apex"], call["options"].model) == (b"onset bytes", b"apex bytes", "ststnet")


def test_classification_has_no_options_of_spotting(gateway):
    """An option of the other route is unknown here."""
    files = {"onset": b"a", "apex": b"b"}
    answer = gateway.client.post("/v1/classify", files=files, data={"faces": "all"})
    assert (answer.status_code, answer.json()["option"]) == (422, "faces")


def test_every_error_of_the_tree_becomes_its_problem(gateway):
    """Status, code, retryable and request id follow the table, and a page explains the type."""
    made = {errors.LimitExceeded: lambda: errors.LimitExceeded("m", setting="S", limit=3)}
    for kind, status in TABLE.items():
        gateway.analyzer.error = made.get(kind, lambda kind=kind: kind("the message", stage="decode"))()
        answer = gateway.client.post("/v1/analyze", files=clip())
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, problem["status"]) == (status.http, status.http), kind
        assert (problem["code"], problem["title"], problem["retryable"]) == (kind.code, kind.title, status.retryable)
        assert problem["request_id"] == answer.headers["x-request-id"]
        assert problem["instance"] == "/v1/analyze"
        assert ("the message" in answer.text) == (not status.private and kind is not errors.LimitExceeded)
        assert gateway.client.get(problem["type"]).status_code == 200


def test_details_become_members_but_never_replace_the_standard_ones(gateway):
    """Facts of an error are members of the problem."""
    gateway.analyzer.error = errors.LimitExceeded("too long", setting="GLIMPSE_LIMITS__CLIP_SECONDS", limit=300)
    problem = gateway.client.post("/v1/analyze", files=clip()).json()
    assert (problem["setting"], problem["limit"]) == ("GLIMPSE_LIMITS__CLIP_SECONDS", 300)
    gateway.analyzer.error = errors.NoFace("none", status=200, code="fine", odd=object)
    answer = gateway.client.post("/v1/analyze", files=clip())
    assert (answer.status_code, answer.json()["status"], answer.json()["code"]) == (422, 422, "no-face")


def test_an_unforeseen_error_leaks_nothing_and_is_counted(gateway):
    """500 without a word of the exception, and the next request is served."""
    gateway.analyzer.error = RuntimeError("/private/path/secret-name.mp4")
    answer = gateway.client.post("/v1/analyze", files=clip())
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert gateway.metric("glimpse_requests_total", route="/v1/analyze", status="500") == 1
    gateway.analyzer.error = None
    assert gateway.client.post("/v1/analyze", files=clip()).status_code == 200


@pytest.mark.parametrize(
    ("error", "after"),
    [(errors.Overloaded("full", retry_after_s=2.3), "3"), (errors.BackendUnavailable("down"), "1")],
)
def test_who_may_come_back_is_told_when(gateway, error, after):
    """Retry-After in whole seconds, rounded up."""
    gateway.analyzer.error = error
    assert gateway.client.post("/v1/analyze", files=clip()).headers["retry-after"] == after


def test_beyond_the_queue_requests_are_refused_at_once(start, fake_analyzer):
    """One works, one waits, the third is answered 429; all numbers show in the metrics."""
    gateway = start(fake_analyzer(held=True), limits={"inflight": 1, "queued": 1})
    with ThreadPoolExecutor(2) as callers:
        post = lambda: gateway.client.post("/v1/analyze", files=clip())  # noqa: E731
        first = callers.submit(post)
        assert gateway.analyzer.started.acquire(timeout=20)
        second = callers.submit(post)
        while gateway.metric("glimpse_queue_depth", kind="request") < 1:
            assert not second.done()
        third = post()
        assert gateway.metric("glimpse_inflight", kind="analyze") == 1
        assert (third.status_code, third.json()["code"], third.json()["retryable"]) == (429, "overloaded", True)
        assert int(third.headers["retry-after"]) >= 1
        assert gateway.metric("glimpse_rejected_total", reason="overloaded") == 1
        gateway.analyzer.release()
        assert {first.result().status_code, second.result().status_code} == {200}
    assert gateway.metric("glimpse_inflight", kind="analyze") == 0
    assert gateway.metric("glimpse_queue_depth", kind="request") == 0


def test_waiting_for_a_place_counts_against_the_deadline(start, fake_analyzer):
    """504 that names the admission, without having troubled the pipeline."""
    gateway = start(fake_analyzer(held=True), limits={"inflight": 1})
    with ThreadPoolExecutor(1) as callers:
        first = callers.submit(lambda: gateway.client.post("/v1/analyze", files=clip()))
        assert gateway.analyzer.started.acquire(timeout=20)
        second = gateway.client.post("/v1/analyze?deadline_s=0.05", files=clip())
        assert (second.status_code, second.json()["code"], second.json()["stage"]) == (
            504,
            "deadline-exceeded",
            "admission",
        )
        assert len(gateway.analyzer.calls) == 1
        gateway.analyzer.release()
        assert first.result().status_code == 200


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_client_that_leaves_cancels_its_work(start, fake_analyzer, accept):
    """The pipeline's task is cancelled, counted, and the place is free again."""
    gateway = start(fake_analyzer(held=True), limits={"inflight": 1, "queued": 0})
    lines = (
        "POST /v1/analyze HTTP/1.1",
        "host: localhost",
        f"accept: {accept}",
        "content-type: video/mp4",
        "content-length: 3",
    )
    head = "\r\n".join((*lines, "", ""))
    with socket.create_connection(gateway.address) as connection:
        connection.sendall(head.encode() + b"abc")
        assert gateway.analyzer.started.acquire(timeout=20)
    assert gateway.analyzer.cancelled.wait(20)
    while gateway.metric("glimpse_cancelled_total", kind="analyze") != 1:
        pass
    gateway.analyzer.release()
    while (answer := gateway.client.post("/v1/analyze", files=clip())).status_code == 429:
        pass
    assert answer.status_code == 200
