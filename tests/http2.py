"""Just enough of HTTP/2 (RFC 9113) and of its headers (RFC 7541) to be a client that misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GO_AWAY = 0, 1, 3, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
ENHANCE_YOUR_CALM = 11


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """One frame."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes]]:
    """Type and payload of every frame until the connection ends."""
    while head := await reader.read(9):
        head += await reader.readexactly(9 - len(head))
        yield head[3], await reader.readexactly(int.from_bytes(head[:3]))


def call(path: str, stream: int = 1) -> bytes:
    """The headers that open a call of gRPC."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "here",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
    return frame(HEADERS, block, flags=END_HEADERS, stream=stream)


def message(data: bytes, *, flags: int = 0, stream: int = 1) -> bytes:
    """A message of gRPC, uncompressed."""
    return frame(DATA, b"\0" + len(data).to_bytes(4) + data, flags=flags, stream=stream)


def _text(value: str) -> bytes:
    return bytes([len(value)]) + value.encode()
