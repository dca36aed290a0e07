"""Live streams: how many are let in, and what each is given."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.errors import Overloaded
from server.pipeline.base import Observer
from server.pipeline.live_stream import LivePolicy, LiveStream
from server.pipeline.live_teller import Served, Teller
from server.pipeline.live_workers import LiveWorkers
from server.predict.base import Predictor
from server.streams import StreamOptions


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
        """A stream, until the block is left. Raises `Overloaded`, with what is full, before anything is taken."""
        self._check(options.frame_rate)
        self._opened += 1
        number = self._opened
        self._rates[number] = options.frame_rate
        try:
            async with self._workers.borrow() as process:
                teller = Teller(self._predictor, served, self._observer, inference_s=self._policy.inference_s)
                stream = LiveStream(process=process, teller=teller, served=served, options=options, policy=self._policy)
                work = asyncio.get_running_loop().create_task(stream.run())
                try:
                    yield stream
                finally:
                    work.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await work
        finally:
            del self._rates[number]

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
