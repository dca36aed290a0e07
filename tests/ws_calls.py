"""Live streams over WebSocket, on a real socket."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

END = '{"type":"end"}'


def socket(url: str, query: str = "", **how: Any) -> AbstractAsyncContextManager[ClientConnection]:
    """A connection to the live streams of the service at `url`."""
    options = {"subprotocols": ["glimpse.v1"], "compression": None, "proxy": None, "max_size": None, **how}
    return connect(f"{url.replace('http', 'ws', 1)}/v1/live{query}", **options)


def frame(index: int, data: bytes = b"x", capture_us: int | None = None) -> bytes:
    """One message: a hundredth of a second after the frame before it, unless another time is given."""
    return struct.pack(">qq", index, index * 10_000 if capture_us is None else capture_us) + data


async def told(connection: ClientConnection) -> tuple[list[Any], int, str]:
    """All messages until the end, its close code and reason."""
    answers = []
    try:
        while True:
            answers.append(json.loads(await connection.recv()))
    except ConnectionClosed as closed:
        received = closed.rcvd
        return answers, received.code if received else 1006, received.reason if received else ""


async def lived(url: str, messages: Iterable[str | bytes], query: str = "", **how: Any) -> tuple[list[Any], int, str]:
    """Send everything at once, and hear everything."""
    async with socket(url, query, **how) as connection:
        try:
            for message in messages:
                await connection.send(message)
        except ConnectionClosed:
            pass
        return await told(connection)


def types(answers: Sequence[Any]) -> list[str]:
    """Which kind each answer is."""
    return [answer["type"] for answer in answers]
