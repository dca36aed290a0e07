"""Connections of gRPC: how the service learns that a client is gone, and what it takes from one that is too eager."""

import asyncio

import grpc
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from tests import http2
from tests.grpc_calls import connected, options
from tests.silent_network import network_to


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
    writer.write(http2.PREFACE + http2.frame(http2.SETTINGS))
    async for kind, payload in http2.frames(reader):
        if kind == http2.PING:
            probes += 1
            writer.write(http2.frame(http2.PING, payload, flags=http2.ACK))
        if probes == 4:
            break
    writer.close()


async def test_a_client_that_probes_too_often_is_sent_away(quick):
    """It is told why: another connection is not affected."""
    reader, writer = await asyncio.open_connection(*quick.grpc.split(":"))
    writer.write(
        http2.PREFACE + http2.frame(http2.SETTINGS) + b"".join(http2.frame(http2.PING, bytes(8)) for _ in range(8))
    )
    reasons = [payload async for kind, payload in http2.frames(reader) if kind == http2.GO_AWAY]
    assert [int.from_bytes(payload[4:8]) for payload in reasons] == [http2.ENHANCE_YOUR_CALM]
    writer.close()
    async with connected(quick.grpc) as stub:
        assert (await stub.GetServerInfo(pb.GetServerInfoRequest())).version


async def test_what_is_no_http_2_is_closed(gateway):
    """At once, and other connections stay."""
    reader, writer = await asyncio.open_connection(*gateway.grpc.split(":"))
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    kinds = [kind async for kind, _ in http2.frames(reader)]
    assert kinds[0] == http2.SETTINGS
    writer.close()
