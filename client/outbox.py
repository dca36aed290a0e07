"""Frames on their way to the service: bounded while they wait, numbered, and answered in their order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from client.errors import ClientError, ForeignAnswer
from client.live_types import BufferPolicy, Frame, FrameDropped, FrameReply, FrameResult

Deliver = Callable[[FrameReply, float], None]
"""Takes the answer to a frame and the seconds since it was handed in."""


@dataclass(slots=True, eq=False)
class _Slot:
    index: int
    capture_us: int
    frame: Frame | None
    since: float
    reply: FrameReply | None = None


class Outbox:
    """At most `most_frames` frames wait, of `most_bytes` in all; one alone may be larger.

    Under `wait` whoever puts one waits for room; under the other policies one goes, and is answered by a
    `FrameDropped` for the reason `unsent`.
    """

    def __init__(self, policy: BufferPolicy, deliver: Deliver, *, most_frames: int, most_bytes: int) -> None:
        self._policy = policy
        self._deliver = deliver
        self._most_frames = most_frames
        self._most_bytes = most_bytes
        self._waiting: deque[_Slot] = deque()
        self._bytes = 0
        self._order: deque[_Slot] = deque()
        self._next = 0
        self._changed = asyncio.Event()
        self._closed: ClientError | None = None
        self.finished = False

    @property
    def handed_in(self) -> int:
        """Frames so far."""
        return self._next

    async def put(self, frame: Frame) -> int:
        """The number of the frame. Raises what the outbox was closed with."""
        while self._policy == "wait" and self._full and not self.finished:
            await self._change()
        if self._closed is not None:
            raise self._closed
        slot = _Slot(self._next, frame.capture_us, frame, time.monotonic())
        self._next += 1
        self._order.append(slot)
        if self._policy == "drop_latest" and self._full:
            self._drop(slot)
        else:
            while self._policy == "drop_oldest" and self._full:
                self._drop(self._pop())
            self._waiting.append(slot)
            self._bytes += len(frame.data)
        self._flush()
        self._changed.set()
        return slot.index

    def finish(self) -> None:
        """No more frames come."""
        self.close(ClientError("the stream has been finished", code="finished"))

    def close(self, error: ClientError) -> None:
        """No more frames are taken; whoever puts one gets `error`."""
        self._closed = self._closed or error
        self.finished = True
        self._changed.set()

    async def take(self) -> tuple[int, Frame] | None:
        """The next frame to send, None when all have been."""
        if not await self.pending():
            return None
        slot = self._pop()
        frame, slot.frame = slot.frame, None
        self._changed.set()
        assert frame is not None
        return slot.index, frame

    async def pending(self) -> bool:
        """Whether there is a frame to send, once that is known."""
        while not self._waiting and not self.finished:
            await self._change()
        return bool(self._waiting)

    def answer(self, reply: FrameReply) -> None:
        """The service has answered the frame that it had to answer next. Raises `ForeignAnswer` for any other."""
        slot = next((slot for slot in self._order if slot.reply is None), None)
        if slot is None or slot.frame is not None or slot.index != reply.frame_index:
            raise ForeignAnswer(f"the service answered frame {reply.frame_index} out of turn")
        slot.reply = reply
        self._flush()

    def lost(self, *, waiting: bool = False) -> tuple[int, ...]:
        """The numbers of those that were sent and not answered, which are forgotten; with `waiting`, of those that
        were not sent either.
        """
        gone: list[_Slot] = []
        kept: deque[_Slot] = deque()
        for slot in self._order:
            unanswered = slot.reply is None and (slot.frame is None or waiting)
            (gone if unanswered else kept).append(slot)
        self._order = kept
        if waiting:
            self._waiting.clear()
        self._flush()
        return tuple(slot.index for slot in gone)

    @property
    def _full(self) -> bool:
        return len(self._waiting) >= self._most_frames or self._bytes >= self._most_bytes

    def _pop(self) -> _Slot:
        slot = self._waiting.popleft()
        assert slot.frame is not None
        self._bytes -= len(slot.frame.data)
        return slot

    def _drop(self, slot: _Slot) -> None:
        slot.frame = None
        slot.reply = FrameDropped(slot.index, slot.capture_us, "unsent")

    def _flush(self) -> None:
        while self._order and (reply := self._order[0].reply) is not None:
            slot = self._order.popleft()
            self._deliver(reply, time.monotonic() - slot.since if isinstance(reply, FrameResult) else 0.0)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
