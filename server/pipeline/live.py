"""Live streams: how many are let in, and what each is given."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from server.errors import OptionError, Overloaded
from server.pipeline.base import Observer
from server.pipeline.live_stream import LivePolicy, LiveStream
from server.pipeline.live_teller import Served, Teller
from server.pipeline.live_workers import LiveWorkers
from server.predict.base import Predictor
from server.streams import StreamOptions


def check_stream(options: StreamOptions) -> None:
    """What can be known to be wrong before anything is taken. Raises `OptionError`."""
    if not (math.isfinite(options.frame_rate) and options.frame_rate > 0):
        message = f"frame_rate is {options.frame_rate:g}; it is the frames per second that will be sent, above 0"
        raise OptionError(message, option="frame_rate")
    if not options.kinds:
        raise OptionError("kinds names no kind of event: give micro, macro or both", option="kinds")


class LivePipeline:
    """Opens streams, as many as the machine can serve."""

    def __init__(self, *, predictor: Predictor, workers: LiveWorkers, policy: LivePolicy, observer: Observer) -> None:
        self._predictor = predictor
        self._workers = workers
        self._policy = policy
        self._observer = observer
        self._rates: dict[int, float] = {}
        self._opened = 0

    @property
    def policy(self) -> LivePolicy:
        """The bounds, which clients are told before they send anything."""
        return self._policy

    @property
    def streams(self) -> int:
        """Open ones."""
        return len(self._rates)

    @asynccontextmanager
    async def open(self, served: Served, options: StreamOptions) -> AsyncIterator[LiveStream]:
        """A stream, until the block is left; what it holds is given back as soon as it has ended by itself.

        Raises `OptionError`, and `Overloaded` with what is full, before anything is taken.
        """
        check_stream(options)
        self._check(options.frame_rate)
        self._opened += 1
        number = self._opened
        async with AsyncExitStack() as taking:
            self._rates[number] = options.frame_rate
            taking.callback(self._rates.pop, number)
            process = await taking.enter_async_context(self._workers.borrow())
            taken = taking.pop_all()
        teller = Teller(self._predictor, served, self._observer, inference_s=self._policy.inference_s)
        stream = LiveStream(process=process, teller=teller, served=served, options=options, policy=self._policy)
        work = asyncio.get_running_loop().create_task(_work(stream, taken))
        try:
            yield stream
        finally:
            work.cancel()
            try:
                # Not `await work`: that would hide a cancellation of this task behind that of the work.
                await asyncio.wait({work})
            finally:
                await taken.aclose()

    def _check(self, frame_rate: float) -> None:
        policy = self._policy
        if len(self._rates) >= policy.max_streams:
            message = f"{policy.max_streams} streams are open, as many as are served (GLIMPSE_LIVE__MAX_STREAMS)"
            raise Overloaded(message, stage="live")
        taken = sum(self._rates.values())
        if taken and taken + frame_rate > policy.frames_per_s:
            message = (
                f"the streams that are open send {taken:g} frames per second; {frame_rate:g} more pass the"
                f" {policy.frames_per_s:g} that this machine serves (GLIMPSE_LIVE__FRAMES_PER_SECOND)"
            )
            raise Overloaded(message, stage="live")


async def _work(stream: LiveStream, taken: AsyncExitStack) -> None:
    async with taken:
        await stream.run()
