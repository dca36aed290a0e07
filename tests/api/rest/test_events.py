"""The stream of a long analysis, without a socket."""

import asyncio
from contextlib import ExitStack

from server.api.rest.events import EventStream
from server.errors import TooFewFrames
from server.telemetry.metrics import Metrics
from server.types import Progress


async def stream(work, *, hold=None, on_piece=None, **options):
    """Serve `work` to a client that stays: the pieces that were sent."""
    sent = []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)
        if on_piece and "body" in message:
            on_piece(message["body"])

    holding = hold or ExitStack()
    response = EventStream(work, holding=holding, telemetry=Metrics(), **options)
    await response({"type": "http", "path": "/v1/analyze"}, receive, send)
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * (len(sent) - 2) + [False]
    return [message["body"] for message in sent[1:]]


async def test_a_quiet_stream_is_kept_alive():
    """Comments flow while nothing happens, so that no proxy closes the connection."""
    finish = asyncio.Event()

    async def work(_):
        await finish.wait()
        raise TooFewFrames("one frame")

    pieces = await stream(work, keep_alive_s=0.001, on_piece=lambda _: finish.set())
    assert pieces[0] == b": keep-alive\n\n"
    assert b"too-few-frames" in pieces[-2]


async def test_newer_progress_replaces_what_was_not_yet_sent():
    """A slow reader gets the latest of each stage, never a growing backlog."""

    async def work(post):
        for done in range(1000):
            post(Progress("decode", done, 1000))
        raise TooFewFrames("one frame")

    pieces = await stream(work)
    assert len(pieces) == 3
    assert b'"done": 999' in pieces[0]


async def test_the_place_is_free_when_the_stream_ends():
    """Whatever the stream held is given back."""
    left = []
    with ExitStack() as hold:
        hold.callback(lambda: left.append("left"))

        async def work(_):
            raise TooFewFrames("one frame")

        await stream(work, hold=hold)
        assert left == ["left"]
