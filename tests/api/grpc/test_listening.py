"""Connections of gRPC: how the service learns that a client is gone, and what it takes from one that is too eager."""

import asyncio
import struct

import grpc
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from tests.grpc_calls import connected, options
from tests.silent_network import network_to

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS, _PING, _GO_AWAY = 4, 6, 7
_ENHANCE_YOUR_CALM = 11


def _frame(kind, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, 0, 0, 0, 0, 0]) + payload


async def _frames(reader):
    """Type and payload of every frame of HTTP/2 until the connection ends."""
    while head := await reader.read(9):
        head += await reader.readexactly(9 - len(head))
        yield head[3], await reader.readexactly(int.from_bytes(head[:3]))


@pytest.fixture
def quick(start):
    """A service that probes a connection after 0.2 s."""
    return start(server={"grpc_keepalive_seconds": 0.2})


async def test_a_network_that_goes_silent_is_noticed(quick):
    """The answer to a probe is missed, the connection closed, and the stream gives its place back."""
    async with network_to(quick.grpc) as network:
        channel = grpc.aio.insecure_channel(network.address)
        call = channel.stream_stream(
            "/glimpse.v1.MicroExpressions/Live",
            request_serializer=pb.LiveRequest.SerializeToString,
            response_deserializer=pb.LiveResponse.FromString,
        )()
        await call.write(options())
        assert (await call.read()).WhichOneof("part") == "opened"
        assert quick.live.streams == 1
        network.cut = True
        await asyncio.wait_for(network.given_up.wait(), 10)
        await asyncio.to_thread(_left, quick)
        call.cancel()
        await channel.close()


def _left(gateway):
    while gateway.live.streams:
        pass


async def test_a_client_that_is_silent_but_there_stays(quick):
    """Probes are answered by its library, so that a stream may be idle for longer than they take."""
    probes = 0
    reader, writer = await asyncio.open_connection(*quick.grpc.split(":"))
    writer.write(_PREFACE + _frame(_SETTINGS))
    async for kind, payload in _frames(reader):
        if kind == _PING:
            probes += 1
            head = _frame(_PING, payload)
            writer.write(head[:4] + b"\x01" + head[5:])
        if probes == 4:
            break
    writer.close()


async def test_a_client_that_probes_too_often_is_sent_away(quick):
    """It is told why: another connection is not affected."""
    reader, writer = await asyncio.open_connection(*quick.grpc.split(":"))
    writer.write(_PREFACE + _frame(_SETTINGS) + b"".join(_frame(_PING, bytes(8)) for _ in range(8)))
    reasons = [payload async for kind, payload in _frames(reader) if kind == _GO_AWAY]
    assert [int.from_bytes(payload[4:8]) for payload in reasons] == [_ENHANCE_YOUR_CALM]
    writer.close()
    async with connected(quick.grpc) as stub:
        assert (await stub.GetServerInfo(pb.GetServerInfoRequest())).version


async def test_what_is_no_http_2_is_closed(gateway):
    """At once, and other connections stay."""
    reader, writer = await asyncio.open_connection(*gateway.grpc.split(":"))
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    kinds = [kind async for kind, _ in _frames(reader)]
    assert kinds[0] == _SETTINGS
    writer.close()
