"""One call of `Live`: from its options to its last answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
from glimpse.v1 import micro_expressions_pb2 as pb

from client import live_messages, messages, statuses
from client.errors import ForeignAnswer, FrameError, Unreachable
from client.live_types import Frame, FrameReply, MovementReply, StreamOpened, StreamOptions, StreamStats
from client.types import ServerInfo

Metadata: TypeAlias = tuple[tuple[str, str], ...]

_CHANNELS = {"gray8": 1, "bgr8": 3}
# What a frame takes on the wire beside its picture, with room to spare.
_ENVELOPE_BYTES = 128


class Connection:
    """An open stream of the service at `target`."""

    def __init__(self, call: Any, opened: StreamOpened, target: str) -> None:
        self.opened = opened
        self.over = False
        self._call = call
        self._target = target

    async def send(self, index: int, frame: Frame) -> bool:
        """Send a frame, as fast as the connection takes it; False where it is broken, which `replies` explains."""
        try:
            await self._call.write(live_messages.frame_request(index, frame))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return False
        return True

    async def finish(self) -> None:
        """Send no more."""
        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return

    async def replies(self) -> AsyncIterator[FrameReply | MovementReply | StreamStats]:
        """Every answer to the last. Raises `ClientError` where the stream did not end well."""
        ended = False
        while (response := await _read(self._call, self._target)) is not None:
            reply = live_messages.reply(response)
            # What is written from now on nobody answers, and a call that ends under a write loses its status.
            self.over = ended = isinstance(reply, StreamStats)
            yield reply
        if not ended:
            raise ForeignAnswer(f"{self._target} ended a stream without its statistics")

    def cancel(self) -> None:
        """Leave, whatever is under way."""
        self._call.cancel()


async def connect(
    stub: Any, options: StreamOptions, target: str, *, timeout_s: float, metadata: Metadata = ()
) -> Connection:
    """Open a stream. Raises `ClientError`."""
    call = stub.Live(metadata=metadata)
    try:
        async with asyncio.timeout(timeout_s):
            try:
                await call.write(live_messages.options_request(options))
            except asyncio.InvalidStateError:
                pass  # the call has ended already; reading tells how
            except grpc.aio.AioRpcError as error:
                raise statuses.from_grpc(error, target) from None
            response = await _read(call, target)
    except TimeoutError:
        call.cancel()
        message = f"{target} did not open the stream within {timeout_s:g} s"
        raise Unreachable(message, code="unreachable", retryable=True) from None
    except BaseException:
        call.cancel()
        raise
    if response is None or response.WhichOneof("part") != "opened":
        call.cancel()
        raise ForeignAnswer(f"{target} does not answer as this service does: the stream was not opened")
    return Connection(call, live_messages.opened(response.opened), target)


async def server_info(stub: Any, target: str, *, timeout_s: float, metadata: Metadata = ()) -> ServerInfo:
    """Every limit. Raises `ClientError`."""
    try:
        answer = await stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=timeout_s, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        raise statuses.from_grpc(error, target) from None
    return messages.server_info(answer)


def check(frame: Frame, limits: ServerInfo) -> None:
    """Raise `FrameError` for a frame that the service would not take."""
    pixels = frame.width * frame.height
    channels = _CHANNELS.get(frame.encoding)
    if channels is not None and (pixels <= 0 or len(frame.data) != pixels * channels):
        message = f"{len(frame.data)} bytes are not a {frame.encoding} picture of {frame.width}x{frame.height}"
        raise FrameError(message, code="invalid-input")
    if 0 < limits.max_frame_pixels < pixels:
        message = (
            f"a picture of {frame.width}x{frame.height} passes the {limits.max_frame_pixels} pixels of the service"
        )
        raise FrameError(message, code="limit-exceeded")
    most = limits.max_message_bytes - _ENVELOPE_BYTES
    if limits.max_message_bytes and len(frame.data) > most:
        raise FrameError(
            f"a frame of {len(frame.data)} bytes passes the {most} that a message to the service may have;"
            " send it as JPEG or smaller",
            code="limit-exceeded",
        )


async def _read(call: Any, target: str) -> pb.LiveResponse | None:
    try:
        response = await call.read()
    except grpc.aio.AioRpcError as error:
        raise statuses.from_grpc(error, target) from None
    return None if response is grpc.aio.EOF else response
