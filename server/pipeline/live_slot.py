"""The place of one picture of a live stream in the order of replies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from server.errors import GlimpseError
from server.streams import DropReason, FrameDropped, FrameRefused, FrameResult, LiveFrame


@dataclass(slots=True)
class Slot:
    """One picture, when it came (`time.monotonic`), and its reply once there is one."""

    frame: LiveFrame
    arrived: float
    reply: FrameResult | FrameDropped | FrameRefused | None = None

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.frame.data)

    def dropped(self, reason: DropReason) -> FrameDropped:
        """The reply to a picture that nobody looks at."""
        return FrameDropped(self.frame.index, self.frame.capture_us, reason)

    def refused(self, failure: GlimpseError) -> FrameRefused:
        """The reply to a picture with which the stream failed."""
        return FrameRefused(self.frame.index, self.frame.capture_us, failure.code, failure.message, goes_on=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """Pictures that the worker has, and the task that waits for what it saw."""

    batch: list[Slot]
    asking: asyncio.Task[object]
