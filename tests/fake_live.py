"""Live streams without pictures: every frame is answered at once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from server.errors import GlimpseError, OptionError
from server.pipeline.base import LiveBounds
from server.streams import FrameRefused, FrameResult, LiveFrame, StreamOptions, StreamReply, StreamStats
from server.types import ModelRef

REF = ModelRef("ststnet", "1", "flow_uvs_28", "fake")


class FakeStream:
    """Refuses a frame without data, with `message`, and ends with `failure` where there is one."""

    model = REF
    regions = ("brow", "mouth")

    def __init__(self, failure: GlimpseError | None, message: str) -> None:
        self._failure = failure
        self._message = message
        self._replies: asyncio.Queue[StreamReply | None] = asyncio.Queue()
        self._received = 0

    async def offer(self, frame: LiveFrame) -> None:
        self._received += 1
        if frame.data:
            self._replies.put_nowait(FrameResult(frame.index, frame.capture_us, frame.capture_us / 1e6, ()))
        else:
            error = OptionError(self._message)
            self._replies.put_nowait(FrameRefused(frame.index, frame.capture_us, error.code, error.message, True))

    async def finish(self) -> None:
        stats = StreamStats(self._received, self._received, 0, 0, 0, 0, 0.0, 0.0, 0.0, REF)
        self._replies.put_nowait(stats)
        self._replies.put_nowait(None)

    async def replies(self) -> AsyncIterator[StreamReply]:
        while (reply := await self._replies.get()) is not None:
            yield reply
        if self._failure:
            raise self._failure


@dataclass
class FakeLive:
    """Opens such streams, or raises `error`; `asked` are the options of each."""

    error: Exception | None = None
    failure: GlimpseError | None = None
    message: str = "no data"
    bounds: LiveBounds = field(default_factory=lambda: LiveBounds(4, 200.0, 5.0, 16))
    asked: list[StreamOptions] = field(default_factory=list)
    streams: int = 0
    frames_per_s: float = 0.0

    @asynccontextmanager
    async def open(self, options: StreamOptions) -> AsyncIterator[FakeStream]:
        self.asked.append(options)
        if self.error:
            raise self.error
        self.streams += 1
        self.frames_per_s += options.frame_rate
        try:
            yield FakeStream(self.failure, self.message)
        finally:
            self.streams -= 1
            self.frames_per_s -= options.frame_rate
