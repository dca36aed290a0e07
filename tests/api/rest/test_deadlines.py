"""One deadline for a request, from its arrival to its answer: whatever spends it is named."""

import asyncio
import socket
import threading

from server.errors import DeadlineExceeded

VIDEO = {"content-type": "video/mp4"}


def late(answer):
    """The stage that a 504 names."""
    body = answer.json()
    assert (answer.status_code, body["code"], body["retryable"]) == (504, "deadline-exceeded", True)
    return body["stage"]


def test_an_upload_has_the_deadline_that_the_caller_set(gateway):
    """Not that of the service: the option of the address is known before the first byte of the body."""
    with socket.create_connection(gateway.address, timeout=20) as connection:
        connection.sendall(
            b"POST /v1/analyze?deadline_s=0.1 HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: video/mp4\r\ncontent-length: 99\r\n\r\na"
        )
        answer = connection.makefile("rb").read(4096)
    assert answer.startswith(b"HTTP/1.1 504")
    assert b'"stage": "upload"' in answer


def test_the_stage_of_the_pipeline_is_named(gateway):
    """As the pipeline tells it, for clips and for pictures, and in the last event of a stream, whose status was sent
    long before.
    """
    for stage in ("queue", "decode", "faces", "spotting", "flow", "inference"):
        gateway.analyzer.error = DeadlineExceeded("late", stage=stage)
        for route, names in (("analyze", ("clip",)), ("classify", ("onset", "apex"))):
            files = dict.fromkeys(names, ("x", b"abc", "video/mp4"))
            assert late(gateway.client.post(f"/v1/{route}", files=files)) == stage
        answer = gateway.client.post("/v1/analyze", content=b"abc", headers={**VIDEO, "accept": "text/event-stream"})
        last = answer.text.strip().split("\n\n")[-1]
        assert last.startswith("event: problem")
        assert f'"stage": "{stage}"' in last


def test_a_stage_that_does_not_return_is_left(start, fake_analyzer, monkeypatch):
    """A pipeline that forgets its deadline is cancelled a moment later, and the caller told."""
    monkeypatch.setattr("server.api.gateway._GRACE_S", 0.0)
    gateway = start(fake_analyzer(held=True))
    answer = gateway.client.post("/v1/analyze?deadline_s=0.1", content=b"abc", headers=VIDEO)
    assert late(answer) == "analysis"
    assert gateway.analyzer.cancelled.is_set()


async def test_drawing_a_report_counts_against_the_deadline(start, fake_analyzer):
    """504 that names the rendering; the next report is drawn when that one is done."""
    gateway = start(fake_analyzer())
    drawing, go_on = threading.Event(), threading.Event()

    def draw(_):
        drawing.set()
        go_on.wait(20)
        return b"\x89PNG"

    inside = gateway.server.lifespan.state["gateway"]
    known = inside.renderers["image/png"]
    inside.renderers["image/png"] = draw
    picture = {**VIDEO, "accept": "image/png"}

    def ask(query=""):
        return gateway.client.post(f"/v1/analyze{query}", content=b"abc", headers=picture)

    slow = asyncio.create_task(asyncio.to_thread(ask, "?deadline_s=0.3"))
    assert await asyncio.to_thread(drawing.wait, 20)
    assert late(await slow) == "rendering"
    assert late(await asyncio.to_thread(ask, "?deadline_s=0.1")) == "rendering"
    inside.renderers["image/png"] = known
    go_on.set()
    assert (await asyncio.to_thread(ask)).content == b"\x89PNG"
