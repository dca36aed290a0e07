"""Calls to a gateway on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from glimpse.v1 import micro_expressions_pb2 as pb
from glimpse.v1 import micro_expressions_pb2_grpc as pb_grpc


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Any]:
    """The generated stub, on a channel of its own."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        yield pb_grpc.MicroExpressionsStub(channel)


def frames(count: int, *, data: bytes = b"x") -> Iterator[pb.LiveRequest]:
    """Frames 0, 1, 2 ... a hundredth of a second apart."""
    for index in range(count):
        yield pb.LiveRequest(frame=pb.Frame(frame_index=index, capture_time_us=index * 10_000, encoding=1, data=data))


def options(**chosen: Any) -> pb.LiveRequest:
    """The first message of a stream."""
    return pb.LiveRequest(options=pb.LiveOptions(**chosen))


async def told(call: Any) -> tuple[list[Any], Any]:
    """All answers of a call, and its error: None where it ends with OK."""
    answers = []
    try:
        while (answer := await call.read()) is not grpc.aio.EOF:
            answers.append(answer)
    except grpc.aio.AioRpcError as error:
        return answers, error
    return answers, None


def facts(error: Any) -> dict[str, str]:
    """The trailing metadata of an error."""
    return dict(error.trailing_metadata())


def parts(answers: list[Any]) -> list[str]:
    """Which kind each answer is."""
    return [answer.WhichOneof("part") for answer in answers]
