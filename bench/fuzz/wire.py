"""Bytes to the service on sockets of their own, and what comes back."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from bench.fuzz.answers import SILENT, Outcome, of_close, of_grpc, of_http

PATIENCE_S = 90.0
"""Longer than any bound of the service under test, as `bench.fuzz.bombard.SETTINGS` has them."""
_GONE = (ConnectionError, asyncio.IncompleteReadError)
_END_STREAM = 1
_DATA, _HEADERS, _RESET, _SETTINGS, _GO_AWAY = 0, 1, 3, 4, 7
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is given up when the block ends."""
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 22)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def http(address: str, sent: bytes) -> Outcome:
    """Whatever was sent: one answer, or the end of the connection."""
    try:
        async with asyncio.timeout(PATIENCE_S), connected(address) as (reader, writer):
            writer.write(sent)
            status, fields = await _head(reader)
            body = b"" if sent.startswith(b"HEAD ") else await _body(reader, fields)
    except TimeoutError:
        return SILENT
    except _GONE:
        return Outcome("closed")
    return of_http(status, fields.get(b"content-type", b"").decode("latin-1"), body)


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[bytes, bytes]]:
    status = 100
    while status < 200 and status != 101:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        status = int(first.split()[1])
    pairs = (line.partition(b":") for line in lines if line)
    return status, {name.lower(): value.strip() for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, fields: dict[bytes, bytes]) -> bytes:
    if b"content-length" in fields:
        return await reader.readexactly(int(fields[b"content-length"]))
    if fields.get(b"transfer-encoding") != b"chunked":
        return b""
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    return body


async def messages(channel: grpc.aio.Channel, path: str, sent: list[bytes]) -> Outcome:
    """Messages of gRPC, whatever their bytes, by a client that keeps to HTTP/2."""
    call = channel.stream_stream(path, request_serializer=None, response_deserializer=None)(iter(sent))
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await call.read() is not grpc.aio.EOF:
                pass
            status, trailing, details = await call.code(), await call.trailing_metadata(), await call.details()
    except TimeoutError:
        return SILENT
    except grpc.aio.AioRpcError as error:
        status, trailing, details = error.code(), error.trailing_metadata(), error.details()
    finally:
        call.cancel()
    return of_grpc(status.name, str(dict(trailing or ()).get("glimpse-code", "")), details or "")


async def http2(address: str, sent: bytes) -> Outcome:
    """Bytes where HTTP/2 is spoken: until a stream or the connection is ended."""
    try:
        async with asyncio.timeout(PATIENCE_S), connected(address) as (reader, writer):
            writer.write(sent)
            while True:
                head = await reader.readexactly(9)
                await reader.readexactly(int.from_bytes(head[:3]))
                kind, flags = head[3], head[4]
                if kind == _GO_AWAY:
                    return Outcome("go away")
                if kind == _RESET:
                    return Outcome("reset")
                if kind == _HEADERS and flags & _END_STREAM:
                    return Outcome("answered")
    except TimeoutError:
        return SILENT
    except _GONE:
        return Outcome("closed")


def frame2(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """One frame of HTTP/2 (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def call2(path: str, sent: list[bytes]) -> bytes:
    """A whole call of gRPC as bytes of HTTP/2, its header fields written out (RFC 7541, section 6.2.2)."""
    names = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "here"}
    fields = {**names, "te": "trailers", "content-type": "application/grpc"}
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    data = b"".join(b"\0" + len(message).to_bytes(4) + message for message in sent)
    pieces = [frame2(_DATA, data[at : at + 16000], stream=1) for at in range(0, len(data), 16000)]
    ended = frame2(_DATA, flags=_END_STREAM, stream=1)
    return PREFACE + frame2(_SETTINGS) + frame2(_HEADERS, block, flags=4, stream=1) + b"".join(pieces) + ended


async def websocket(address: str, handshake: bytes, sent: bytes) -> Outcome:
    """Bytes after a handshake, until the close or the end of the connection."""
    try:
        async with asyncio.timeout(PATIENCE_S), connected(address) as (reader, writer):
            writer.write(handshake)
            status, fields = await _head(reader)
            if status != 101:
                return of_http(status, fields.get(b"content-type", b"").decode("latin-1"), await _body(reader, fields))
            writer.write(sent)
            while True:
                opcode, payload = await _frame(reader)
                if opcode == 9:
                    writer.write(socket_frame(10, payload))
                if opcode == 8:
                    return of_close(struct.unpack(">H", payload[:2])[0] if len(payload) > 1 else 1005)
    except TimeoutError:
        return SILENT
    except _GONE:
        return of_close(1006)


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await reader.readexactly(2)
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2))
    elif size == 127:
        size = int.from_bytes(await reader.readexactly(8))
    return first & 15, await reader.readexactly(size)


def socket_frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """One masked frame of a client (RFC 6455, section 5.2)."""
    size = len(payload)
    head = bytes([(fin << 7) | opcode])
    if size < 126:
        head += bytes([128 | size])
    elif size < 1 << 16:
        head += bytes([128 | 126]) + size.to_bytes(2)
    else:
        head += bytes([128 | 127]) + size.to_bytes(8)
    mask = b"\1\2\3\4"
    whole = (mask * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload) ^ int.from_bytes(whole)).to_bytes(size) if size else b""
    return head + mask + masked


def handshake(query: str = "") -> bytes:
    """The request that opens a live stream."""
    lines = (
        f"GET /v1/live{query} HTTP/1.1",
        "Host: here",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol: glimpse.v1",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
