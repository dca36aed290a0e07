"""One live stream in the gateway: its buffer, its worker, and the order of its replies."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from server.errors import DeadlineExceeded, GlimpseError, MediaError
from server.media.buffer import LiveBuffer
from server.media.limits import MediaLimits
from server.pipeline.live_jobs import LiveClose, LiveOpen, LivePush, Looked, Told
from server.pipeline.live_teller import Served, Teller
from server.pipeline.worker_process import WorkerProcess
from server.streams import (
    DropReason,
    FrameDropped,
    FrameRefused,
    FrameResult,
    LiveEvent,
    LiveFrame,
    StreamOptions,
    StreamReply,
    StreamStats,
    Withdrawn,
)
from server.types import ModelRef

_BATCH = 8
"""Pictures that go to the worker at once, so that a fast camera costs fewer messages than it sends pictures."""
_REFUSALS = 20
"""Pictures in a row that may be refused; a stream of nothing else is closed."""
_LAGS = 4096
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


@dataclass(slots=True)
class _Tally:
    """What the statistics of a stream are made of."""

    received: int = 0
    analysed: int = 0
    dropped: int = 0
    refused: int = 0
    events: int = 0
    withdrawn: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    lags: deque[float] = field(default_factory=lambda: deque(maxlen=_LAGS))

    def stats(self, model: ModelRef) -> StreamStats:
        lags = np.array(self.lags or [0.0])
        return StreamStats(
            received=self.received,
            analysed=self.analysed,
            dropped=self.dropped,
            refused=self.refused,
            events=self.events,
            withdrawn=self.withdrawn,
            duration_s=round(self.last_s - self.first_s, 6),
            lag_p50_s=round(float(np.quantile(lags, 0.5)), 6),
            lag_p99_s=round(float(np.quantile(lags, 0.99)), 6),
            model=model,
        )


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
    ) -> None:
        self.served = served
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
        self._tally = _Tally()

    async def offer(self, frame: LiveFrame) -> None:
        """Hand in the next picture. Waits for room under the policy `wait`, else returns at once."""
        slot = _Slot(frame, time.monotonic())
        async with self._changed:
            if self._options.policy == "wait":
                await self._changed.wait_for(lambda: not self._buffer.full or self._finished)
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
        failure: GlimpseError | None = None
        teller = asyncio.get_running_loop().create_task(self._tell_all())
        try:
            await self._pump()
        except GlimpseError as error:
            failure = error
        except asyncio.CancelledError:
            teller.cancel()
            raise
        async with self._changed:
            self._finished = True
            for slot in [slot for slot in self._order if slot.reply is None]:
                self._answer(slot, _refused(slot, failure) if failure else _dropped(slot, "closed"))
            self._changed.notify_all()
        self._told.put_nowait(None)
        await teller
        self._replies.put_nowait(self._tally.stats(self.served.reference))
        self._replies.put_nowait(failure)

    async def _pump(self) -> None:
        """Pictures from the buffer to the worker, and its answers back."""
        policy, contract = self._policy, self.served.contract
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
        tally = self._tally
        if isinstance(reply, FrameResult):
            reply = replace(reply, lag_s=round(time.monotonic() - slot.arrived, 6))
            tally.first_s = reply.time_s if not tally.analysed else tally.first_s
            tally.analysed, tally.last_s = tally.analysed + 1, reply.time_s
            tally.lags.append(reply.lag_s)
        elif isinstance(reply, FrameDropped):
            tally.dropped += 1
        else:
            tally.refused += 1
        slot.reply = reply
        while self._order and self._order[0].reply is not None:
            self._replies.put_nowait(self._order.popleft().reply)

    async def _tell_all(self) -> None:
        while (told := await self._told.get()) is not None:
            reply = await self._teller.tell(told)
            self._tally.events += isinstance(reply, LiveEvent)
            self._tally.withdrawn += isinstance(reply, Withdrawn)
            self._replies.put_nowait(reply)


def _dropped(slot: _Slot, reason: DropReason) -> FrameDropped:
    return FrameDropped(slot.frame.index, slot.frame.capture_us, reason)


def _refused(slot: _Slot, failure: GlimpseError) -> FrameRefused:
    return FrameRefused(slot.frame.index, slot.frame.capture_us, failure.code, failure.message, goes_on=False)


def _unusable(last: FrameRefused) -> GlimpseError:
    return MediaError(f"{_REFUSALS} frames in a row were refused; the last one: {last.message}", stage="live")
