"""`Live`: frames in, and everything that is told of them out, in order."""

from __future__ import annotations

import asyncio

from server.api.ending import Ending
from server.api.gateway import Gateway, now, until
from server.api.grpc import convert, requests
from server.api.grpc.calls import Call
from server.errors import DeadlineExceeded, GlimpseError, OptionError, Overloaded
from server.pipeline.base import OpenStream
from server.streams import StreamOptions

# What a stream needs at its deadline to answer what it has.
_ENDING_S = 0.5


async def live(call: Call, gateway: Gateway, ending: Ending) -> None:
    """Serve one stream until the client has sent its last frame, something ends it, or `ending` comes; where the call
    has a deadline, until just before it.

    Whatever ends it, the frames that came until then have their answers, and the statistics come before the status.
    """
    idle_s = gateway.live.bounds.idle_s
    options = await _options(call, idle_s)
    if ending.shutdown.is_set():
        raise _shutdown()
    async with gateway.live.open(options) as stream:
        await call.write(convert.opened(call.request_id, stream), idle_s)
        feeding = asyncio.ensure_future(_feed(call, stream, ending, deadline=_deadline(call)))
        try:
            async for told in stream.replies():
                await call.write(convert.reply(told), idle_s)
        finally:
            feeding.cancel()
            await asyncio.wait({feeding})
    failure = None if feeding.cancelled() else feeding.result()
    if failure is not None:
        raise failure


async def _options(call: Call, idle_s: float) -> StreamOptions:
    try:
        async with asyncio.timeout(idle_s):
            first = await call.read()
    except TimeoutError:
        message = f"no options came for {idle_s:g} s (GLIMPSE_LIVE__IDLE_SECONDS)"
        raise DeadlineExceeded(message, stage="live") from None
    if first is None or first.WhichOneof("part") != "options":
        raise OptionError("the first message must hold the options", option="options", stage="live")
    return requests.stream_options(first.options)


def _deadline(call: Call) -> float | None:
    wanted_s = call.wanted_s
    return None if wanted_s is None else now() + max(wanted_s - _ENDING_S, wanted_s / 2)


async def _feed(call: Call, stream: OpenStream, ending: Ending, *, deadline: float | None) -> GlimpseError | None:
    """Frames to the stream until the last; what is wrong with how they came, which ends the stream."""
    try:
        async with asyncio.timeout_at(deadline):
            if await until(ending.wait, _offer_all(call, stream)) is None:
                return ending.lease.error or _shutdown()
    except TimeoutError:
        return DeadlineExceeded("the call has come to its deadline", stage="live")
    except GlimpseError as error:
        return error
    finally:
        await stream.finish()
    return None


async def _offer_all(call: Call, stream: OpenStream) -> bool:
    while (message := await call.read()) is not None:
        if message.WhichOneof("part") != "frame":
            raise OptionError("every message after the first must hold a frame", option="frame", stage="live")
        await stream.offer(requests.live_frame(message.frame))
    return True


def _shutdown() -> Overloaded:
    return Overloaded("the service is shutting down", stage="live")
