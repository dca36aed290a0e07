"""The arithmetic of the trust benches, and their clients on real sockets."""

import asyncio
import json
import math

import pytest

from bench import trust_figures as figures
from bench.trust_drive import digest, play


def answer(status=200, request=0, began_s=0.0, took_s=1.0, **more):
    return {"status": status, "request": request, "began_s": began_s, "took_s": took_s, "retry_after_s": None, **more}


def test_a_refusal_must_say_when_to_come_back():
    """200 and 429 with Retry-After are promised; all else is broken, each with its reason."""
    answers = [
        answer(),
        answer(429, retry_after_s=3.0),
        answer(503),
        answer(500, code="internal"),
        answer(0, lost="EOFError: x"),
    ]
    assert figures.broken(answers) == {"503 without Retry-After": 1, "500 internal": 1, "EOFError: x": 1}
    assert figures.broken([answer(504)], allowed=(200, 504)) == {}


def test_work_is_measured_in_clients_that_are_alone():
    """Two clips of two seconds and one of four within four seconds are twice what one client gets done."""
    costs = figures.costs_s([answer(took_s=1.5), answer(took_s=2.5), answer(request=1, took_s=4.0), answer(429)])
    assert costs == {0: 2.0, 1: 4.0}
    done = [answer(took_s=4.0), answer(took_s=3.0), answer(request=1, took_s=3.9), answer(began_s=3.9, took_s=1.0)]
    assert figures.throughput(done, costs, 4.0) == pytest.approx(2.0)


def test_the_bound_of_the_queue_is_its_work_over_the_workers():
    """Forty-eight clips of one second on two workers take 24 seconds, and one more may have begun."""
    assert figures.queue_bound_s(1.0, [1.0, 1.0], places=48, workers=2) == pytest.approx(25.0)
    assert figures.queue_bound_s(1.0, [0.5, 1.5], places=48, workers=2) > 26.0


def test_a_report_is_compared_without_what_always_differs():
    """Its id and its timings; any other difference is one."""
    one = {"id": "a", "timings_ms": {"total": 1.0}, "events": [1]}
    assert digest(one) == digest({**one, "id": "b", "timings_ms": {}})
    assert digest(one) != digest({**one, "events": []})
    assert figures.wrong([answer(digest="x"), answer(digest="y"), answer(429)], {0: "x"}) == 1


def test_a_calm_service_must_not_contradict_itself():
    """Two reports of one clip leave nothing to compare with."""
    assert figures.expected_digests([answer(digest="x"), answer(digest="x")]) == {0: "x"}
    with pytest.raises(SystemExit):
        figures.expected_digests([answer(digest="x"), answer(digest="y")])


def test_growth_is_that_after_the_warm_up():
    """What is taken at the beginning is not counted, what is taken later is."""
    samples = [(at, 50.0 if at < 25 else 100.0 if at < 75 else 110.0) for at in range(100)]
    assert figures.grown(samples, 100, warm=0.25, last=0.25) == pytest.approx(0.1)
    assert figures.grown(samples[:2], 100, warm=0.25, last=0.25) is None


def test_quantiles_of_no_answer_are_infinite():
    """A service that answers nobody meets no bound."""
    assert figures.p50_p99([]) == (math.inf, math.inf)
    assert figures.p50_p99([1.0, 2.0, 3.0]) == (2.0, 3.0)


async def test_the_clients_tell_every_outcome_apart(tmp_path):
    """A report, a refusal with its time, and a connection that ends without an answer."""
    report = json.dumps({"id": "a", "timings_ms": {"faces": 500.0, "inference": 9.0, "total": 600.0}, "events": []})
    replies = iter(
        [
            f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(report)}\r\n\r\n{report}",
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 504 Gateway Timeout\r\nconnection: close\r\n\r\n" + json.dumps({"code": "deadline-exceeded"}),
            "",
        ]
    )
    asked = []

    async def serve(reader, writer):
        asked.append(await reader.readuntil(b"CLIP"))
        writer.write(next(replies).encode())
        await writer.drain()
        writer.close()

    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"CLIP")
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    order = {
        "name": "all", "clients": 1, "requests": [{"path": "/v1/analyze", "type": "video/mp4", "file": str(clip)}],
        "pause_s": 0.0, "refused_pause_s": 0.0, "source": "", "leave_after": None, "leave_after_s": None, "most": 4,
    }  # fmt: skip
    async with server:
        played = await play(server.sockets[0].getsockname(), {"seconds": 30, "groups": [order]})
    told = played["groups"]["all"]
    assert [each["status"] for each in told] == [200, 429, 504, 0]
    assert told[0]["service_s"] == 0.5
    assert told[1]["retry_after_s"] == 1.0
    assert told[2]["code"] == "deadline-exceeded"
    assert "IncompleteReadError" in told[3]["lost"]
    assert asked[0].startswith(b"POST /v1/analyze HTTP/1.1\r\n")
