"""How a connection ends whose body was not wanted."""

import asyncio

import pytest

from server.api.rest.linger import LingeringClose

SCOPE = {"type": "http", "headers": [(b"content-length", b"1000")]}
START = {"type": "http.response.start", "status": 413, "headers": []}


def piece(size, *, more=True):
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


async def ended(messages, *, reads=0, scope=SCOPE, **limits):
    """Let an application read `reads` pieces, then answer: what was sent, and how many pieces were left."""
    left, sent = list(messages), []

    async def receive():
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    async def send(message):
        sent.append({**message, "left": len(left)})

    async def application(_scope, receive, send):
        for _ in range(reads):
            await receive()
        await send({**START, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    await LingeringClose(application, **limits)(scope, receive, send)
    return sent


async def test_the_answer_goes_out_before_the_rest_is_thrown_away():
    """The whole answer is sent first; the last message, which closes, waits until the body has ended."""
    start, body, end = await ended([piece(10), piece(10), piece(10, more=False)])
    assert (b"connection", b"close") in start["headers"]
    assert (body["body"], body["more_body"], body["left"]) == (b"no", True, 3)
    assert (end["body"], end["more_body"], end["left"]) == (b"", False, 0)


async def test_an_endless_body_is_not_read_to_its_end():
    """After so many bytes the connection is closed all the same."""
    *_, end = await ended([piece(10)] * 9, size=25)
    assert (end["more_body"], end["left"]) == (False, 6)


async def test_a_silent_client_is_not_waited_for():
    """After so many seconds the connection is closed all the same."""
    *_, end = await ended([piece(10)], seconds=0.01)
    assert (end["more_body"], end["left"]) == (False, 0)


async def test_a_client_that_is_gone_is_not_waited_for():
    """A disconnect ends the body."""
    *_, end = await ended([piece(10), {"type": "http.disconnect"}, piece(10)])
    assert (end["more_body"], end["left"]) == (False, 1)


@pytest.mark.parametrize(
    ("scope", "messages", "reads"),
    [(SCOPE, [piece(10), piece(10, more=False)], 2), ({"type": "http", "headers": []}, [], 0)],
)
async def test_a_connection_whose_body_was_read_stays_open(scope, messages, reads):
    """So does one whose request had no body."""
    start, body = await ended(messages, reads=reads, scope=scope)
    assert start["headers"] == []
    assert not body.get("more_body", False)
