"""One live stream: frames in, and everything that is told of them out, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from server.api.ending import Ending
from server.api.gateway import Gateway, until
from server.api.ws import replies
from server.api.ws.calls import Call, ClientLeft, ShuttingDown
from server.api.ws.frames import check_end, live_frame
from server.api.ws.options import Pictures, parameters
from server.errors import GlimpseError
from server.pipeline.base import OpenStream


async def live(call: Call, gateway: Gateway, query: Iterable[tuple[str, str]], ending: Ending) -> None:
    """Serve one stream until the client says that it has sent its last frame, something ends it, or `ending` comes.

    Whatever ends it, the frames that came until then have their answers, and the statistics come before the reason.
    Raises `ClientLeft` as soon as nobody listens any more.
    """
    chosen = parameters(query)
    options, pictures = chosen.options(), chosen.pictures()
    if ending.shutdown.is_set():
        raise _shutdown()
    idle_s = gateway.live.bounds.idle_s
    async with gateway.live.open(options) as stream:
        await call.write(replies.opened(call.request_id, stream, gateway.facts, gateway.live), idle_s)
        gone = asyncio.Event()
        feeding = asyncio.ensure_future(_feed(call, stream, pictures, ending, gone))

        async def left() -> None:
            await gone.wait()

        try:
            heard = await until(left, _tell(call, stream, idle_s))
        except ClientLeft:
            heard = None
        finally:
            feeding.cancel()
            await asyncio.wait({feeding})
    failure = None if feeding.cancelled() else feeding.result()
    if failure is not None:
        raise failure
    if heard is None:
        raise ClientLeft


async def _tell(call: Call, stream: OpenStream, idle_s: float) -> bool:
    async for told in stream.replies():
        await call.write(replies.reply(told), idle_s)
    return True


async def _feed(
    call: Call, stream: OpenStream, pictures: Pictures, ending: Ending, gone: asyncio.Event
) -> GlimpseError | None:
    """Frames to the stream until the last; what is wrong with how they came, which ends the stream. Sets `gone` where
    the client has left.
    """
    try:
        if await until(ending.wait, _offer_all(call, stream, pictures)) is None:
            return ending.lease.error or _shutdown()
    except ClientLeft:
        gone.set()
    except GlimpseError as error:
        return error
    finally:
        await stream.finish()
    return None


async def _offer_all(call: Call, stream: OpenStream, pictures: Pictures) -> bool:
    while not isinstance(message := await call.read(), str):
        await stream.offer(live_frame(message, pictures))
    check_end(message)
    return True


def _shutdown() -> ShuttingDown:
    return ShuttingDown("the service is shutting down", stage="live")
