"""Connections of gRPC: how the service learns that a client is gone, and what it takes from one that is too eager."""

import asyncio

import grpc
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from server.pipeline.base import LiveBounds
from tests import http2
from tests.fake_live import FakeLive
from tests.grpc_calls import connected, frames, options
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


@pytest.mark.parametrize(
    "begun",
    [b"", http2.PREFACE[:10], http2.PREFACE, http2.PREFACE + http2.frame(http2.SETTINGS)[:7]],
    ids=["nothing", "half a preface", "a preface", "half a frame"],
)
async def test_a_connection_that_does_not_begin_is_closed(start, begun):
    """What is no whole beginning of HTTP/2 is waited for as long as for a header of REST."""
    gateway = start(server={"header_seconds": 0.3, "grpc_keepalive_seconds": 0.4})
    reader, writer = await asyncio.open_connection(*gateway.grpc.split(":"))
    writer.write(begun)
    async with asyncio.timeout(10):
        assert [kind async for kind, _ in http2.frames(reader)][:1] in ([], [http2.SETTINGS])
    writer.close()


async def test_a_connection_without_a_call_is_closed(start):
    """However well it answers probes; one with a call stays."""
    gateway = start(server={"grpc_idle_seconds": 0.3})
    async with connected(gateway.grpc) as stub:
        call = stub.Live()
        await call.write(options())
        assert (await call.read()).WhichOneof("part") == "opened"
        reader, writer = await asyncio.open_connection(*gateway.grpc.split(":"))
        writer.write(http2.PREFACE + http2.frame(http2.SETTINGS))
        async with asyncio.timeout(10):
            async for kind, payload in http2.frames(reader):
                if kind == http2.PING:
                    writer.write(http2.frame(http2.PING, payload, flags=http2.ACK))
        writer.close()
        await call.write(next(frames(1)))
        assert (await call.read()).WhichOneof("part") == "frame_result"
        call.cancel()


@pytest.mark.parametrize(
    "begun",
    [
        http2.frame(http2.HEADERS, bytes(100), flags=http2.END_HEADERS, stream=1)[:50],
        http2.call("/glimpse.v1.MicroExpressions/Analyze") + http2.message(bytes(1000))[:500],
        http2.call("/glimpse.v1.MicroExpressions/Live") + b"\0\0",
    ],
    ids=["headers", "a message", "a frame's head"],
)
async def test_half_a_frame_is_not_waited_for(start, begun):
    """It is given up after silence, as a connection or as a call, although nothing in it is wrong."""
    live = FakeLive(bounds=LiveBounds(4, 200.0, 0.3, 16))
    settings = {"grpc_keepalive_seconds": 0.4, "grpc_idle_seconds": 0.5}
    gateway = start(live=live, server=settings, limits={"upload_idle_seconds": 0.3})
    reader, writer = await asyncio.open_connection(*gateway.grpc.split(":"))
    writer.write(http2.PREFACE + http2.frame(http2.SETTINGS) + begun)
    async with asyncio.timeout(10):
        kinds = [kind async for kind, _ in http2.frames(reader)]
    assert kinds[0] == http2.SETTINGS
    writer.close()


async def test_metadata_that_is_too_large_is_refused(start):
    """By the library, with its own words; what fits is taken."""
    gateway = start(server={"header_bytes": 4096})
    async with connected(gateway.grpc) as stub:
        assert (await stub.GetServerInfo(pb.GetServerInfoRequest(), metadata=[("x", "y" * 2000)])).version
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetServerInfo(pb.GetServerInfoRequest(), metadata=[("x", "y" * 8000)])
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
