"""Calls of methods that do not exist."""

import asyncio

import grpc
import pytest
from glimpse.v1 import micro_expressions_pb2 as pb

from tests import http2
from tests.grpc_calls import connected


async def test_a_method_that_does_not_exist_is_unimplemented(gateway):
    """So that tools find out which reflection there is."""
    async with grpc.aio.insecure_channel(gateway.grpc) as channel:
        for path in ("/glimpse.v1.MicroExpressions/Nothing", "/nothing", "/grpc.reflection.v1.ServerReflection/X"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(path)(b"")
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_path_that_is_no_text_ends_nothing_but_its_call(gateway):
    """The library's own loop would end there, and with it the server, at a single frame."""
    for _ in range(2):
        reader, writer = await asyncio.open_connection(*gateway.grpc.split(":"))
        path = http2.call("/grpc.hXalth.v1.Health/Check").replace(b"hXalth", b"h\x80lth\xff")
        writer.write(http2.PREFACE + http2.frame(http2.SETTINGS) + path)
        writer.write(http2.message(b"", flags=http2.END_STREAM))
        async for kind, payload in http2.frames(reader):
            if kind == http2.HEADERS and b"grpc-status" in payload:
                break
        writer.close()
        async with connected(gateway.grpc) as stub:
            assert (await stub.GetServerInfo(pb.GetServerInfoRequest())).version
