"""One live stream in the gateway: its buffer, its worker, and the order of its replies."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from typing import cast

from server.errors import DeadlineExceeded, GlimpseError, MediaError, WorkerCrashed
from server.media.buffer import LiveBuffer
from server.media.limits import MediaLimits
from server.pipeline.live_jobs import LiveClose, LiveOpen, LivePush, Looked, Told
from server.pipeline.live_tally import Tally
from server.pipeline.live_teller import Teller
from server.pipeline.served import Served
from server.pipeline.worker_process import WorkerProcess
from server.spotting.signal import REGIONS
from server.streams import (
    DropReason,
    FrameDropped,
    FrameRefused,
    FrameResult,
    LiveFrame,
    StreamOptions,
    StreamReply,
)
from server.types import ModelRef

_log = logging.getLogger(__name__)

_BATCH = 8
"""Pictures that go to the worker at once, so that a fast camera costs fewer messages than it sends pictures."""
_REFUSALS = 20
"""Pictures in a row that may be refused; a stream of nothing else is closed."""
_UNREAD = 512
"""Replies that may wait for a client that does not read them, before its pictures wait as well."""


@dataclass(frozen=True, slots=True)
class LivePolicy:
    """What the operator decides. `frames_per_s` is what all streams together may send; `buffer_frames` and
    `buffer_bytes` bound what waits in one, `store_bytes` the past pictures that its worker keeps.
    """

    max_streams: int
    frames_per_s: float
    idle_s: float
    buffer_frames: int
    buffer_bytes: int
    store_bytes: int
    max_faces: int
    inference_s: float
    limits: MediaLimits


@dataclass(slots=True)
class _Slot:
    """The place of one picture in the order of replies."""

    frame: LiveFrame
    arrived: float
    reply: FrameResult | FrameDropped | FrameRefused | None = None

    @property
    def size(self) -> int:
        return len(self.frame.data)


class LiveStream:
    """One open stream. One task offers pictures while another reads the replies."""

    def __init__(
        self,
        *,
        process: WorkerProcess,
        teller: Teller,
        served: Served,
        options: StreamOptions,
        policy: LivePolicy,
        tally: Tally,
    ) -> None:
        self.regions = REGIONS
        self._served = served
        self._process = process
        self._teller = teller
        self._options = options
        self._policy = policy
        self._buffer: LiveBuffer[_Slot] = LiveBuffer(options.policy, policy.buffer_frames, policy.buffer_bytes)
        self._order: deque[_Slot] = deque()
        self._replies: asyncio.Queue[StreamReply | GlimpseError | None] = asyncio.Queue()
        self._told: asyncio.Queue[Told | None] = asyncio.Queue()
        self._changed = asyncio.Condition()
        self._finished = False
        self._tally = tally

    @property
    def model(self) -> ModelRef:
        """The model that answers."""
        return self._served.reference

    async def offer(self, frame: LiveFrame) -> None:
        """Hand in the next picture. Waits for room under the policy `wait`, and under every policy while the client
        leaves many replies unread.
        """
        slot = _Slot(frame, time.monotonic())
        waits = self._options.policy == "wait"
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._finished or (self._replies.qsize() < _UNREAD and not (waits and self._buffer.full))
            )
            self._tally.received += 1
            self._order.append(slot)
            if self._finished:
                self._drop([slot], "closed")
            else:
                reason: DropReason = "latest" if self._options.policy == "drop_latest" else "oldest"
                self._drop(self._buffer.add(slot), reason)
            self._changed.notify_all()

    async def finish(self) -> None:
        """No more pictures come; what waits is still answered."""
        async with self._changed:
            self._finished = True
            self._changed.notify_all()

    async def replies(self) -> AsyncIterator[StreamReply]:
        """Everything that the client is told, `StreamStats` last. Raises the `GlimpseError` that ended the stream."""
        while True:
            reply = await self._replies.get()
            if reply is None:
                return
            if isinstance(reply, GlimpseError):
                raise reply
            if self._replies.qsize() == _UNREAD - 1:
                async with self._changed:
                    self._changed.notify_all()
            yield reply

    async def run(self) -> None:
        """Work until the stream is finished and everything has been answered."""
        teller = asyncio.get_running_loop().create_task(self._tell_all())
        try:
            failure = await _failure_of(self._pump())
            async with self._changed:
                self._finished = True
                for slot in [slot for slot in self._order if slot.reply is None]:
                    self._answer(slot, _refused(slot, failure) if failure else _dropped(slot, "closed"))
                self._changed.notify_all()
            self._told.put_nowait(None)
            untold = await _failure_of(teller)
        finally:
            teller.cancel()
        self._replies.put_nowait(self._tally.stats(self.model))
        self._replies.put_nowait(failure or untold)

    async def _pump(self) -> None:
        """Pictures from the buffer to the worker, and its answers back."""
        policy, contract = self._policy, self._served.contract
        opened = LiveOpen(
            options=self._options,
            limits=policy.limits,
            recipe=contract.recipe,
            flow=contract.flow,
            max_faces=policy.max_faces,
            store_bytes=policy.store_bytes,
        )
        await self._process.run(opened, None)
        refused = 0
        while batch := await self._next_batch():
            await self._unread()
            job = LivePush(tuple(slot.frame for slot in batch))
            looked = cast("tuple[Looked, ...]", await self._process.run(job, None))
            for slot, each in zip(batch, looked, strict=True):
                self._answer(slot, each.answer)
                refused = refused + 1 if isinstance(each.answer, FrameRefused) else 0
                for told in each.told:
                    self._told.put_nowait(told)
            if refused >= _REFUSALS:
                raise _unusable(cast("FrameRefused", batch[-1].reply))
        for told in cast("tuple[Told, ...]", await self._process.run(LiveClose(), None)):
            self._told.put_nowait(told)

    async def _next_batch(self) -> list[_Slot]:
        """The pictures that wait; none when the stream is finished. Raises `DeadlineExceeded` when none comes."""
        async with self._changed:
            try:
                async with asyncio.timeout(self._policy.idle_s):
                    await self._changed.wait_for(lambda: len(self._buffer) or self._finished)
            except TimeoutError:
                message = f"no frame came for {self._policy.idle_s:g} s (GLIMPSE_LIVE__IDLE_SECONDS)"
                raise DeadlineExceeded(message, stage="live") from None
            batch = self._buffer.take(_BATCH)
            self._changed.notify_all()
            return batch

    async def _unread(self) -> None:
        """Wait while the client leaves too many replies unread."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._replies.qsize() < _UNREAD or self._finished)

    def _drop(self, slots: Sequence[_Slot], reason: DropReason) -> None:
        for slot in slots:
            self._answer(slot, _dropped(slot, reason))

    def _answer(self, slot: _Slot, reply: FrameResult | FrameDropped | FrameRefused) -> None:
        """Replies go out in the order in which pictures came in, whichever is known first."""
        reply = self._tally.frame(reply, slot.arrived)
        slot.reply = reply
        while self._order and self._order[0].reply is not None:
            self._replies.put_nowait(self._order.popleft().reply)

    async def _tell_all(self) -> None:
        while (told := await self._told.get()) is not None:
            reply = await self._teller.tell(told)
            self._tally.movement(reply)
            self._replies.put_nowait(reply)


async def _failure_of(work: Awaitable[None]) -> GlimpseError | None:
    """Whatever goes wrong ends the stream with an error: who reads its replies would wait for ever."""
    try:
        await work
    except GlimpseError as error:
        return error
    except Exception:  # noqa: BLE001 - whatever it was, the stream has failed
        _log.exception("a live stream failed")
        return WorkerCrashed("The stream could not be processed.", stage="live")
    return None


def _dropped(slot: _Slot, reason: DropReason) -> FrameDropped:
    return FrameDropped(slot.frame.index, slot.frame.capture_us, reason)


def _refused(slot: _Slot, failure: GlimpseError) -> FrameRefused:
    return FrameRefused(slot.frame.index, slot.frame.capture_us, failure.code, failure.message, goes_on=False)


def _unusable(last: FrameRefused) -> GlimpseError:
    return MediaError(f"{_REFUSALS} frames in a row were refused; the last one: {last.message}", stage="live")
