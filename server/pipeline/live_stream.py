"""One live stream in the gateway: its buffer, its worker, and the order of its replies."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from server.errors import DeadlineExceeded, GlimpseError, MediaError
from server.media.buffer import LiveBuffer
from server.media.limits import MediaLimits
from server.pipeline.live_jobs import LiveClose, LiveOpen, LivePush, Looked, Told
from server.pipeline.live_slot import Asked, Slot
from server.pipeline.live_tally import Tally
from server.pipeline.live_teller import Teller
from server.pipeline.served import Served
from server.pipeline.worker_process import WorkerProcess
from server.spotting.signal import REGIONS
from server.streams import (
    Candidate,
    DropReason,
    FrameDropped,
    FrameRefused,
    FrameResult,
    LiveEvent,
    LiveFrame,
    Onset,
    StreamOptions,
    StreamReply,
    Withdrawn,
)
from server.types import ModelRef

_log = logging.getLogger(__name__)

_BATCH = 4
"""Pictures that go to the worker at once, so that a fast camera costs fewer messages than it sends pictures."""
_AHEAD = 2
"""Messages that the worker has at a time: it looks at one while the next is on its way, and never waits for us."""
_REFUSALS = 20
"""Pictures in a row that may be refused; a stream of nothing else is closed."""
_UNREAD = 512
"""Replies that may wait for a client that does not read them, or for a worker, before pictures wait as well."""
_UNTOLD = 64
"""Steps of movements that may wait for the model, before pictures wait as well."""


@dataclass(frozen=True, slots=True)
class LivePolicy:
    """What the operator decides. `frames_per_s` is what all streams together may send; `buffer_frames` and
    `buffer_bytes` bound what waits in one, `store_bytes` the past pictures that its worker keeps. A stream ends when
    its client sends no frame, or reads no reply, for `idle_s`, or its worker has no answer for `answer_s`.
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
    answer_s: float = 30.0


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
        self.served = served
        self._process = process
        self._teller = teller
        self._options = options
        self._policy = policy
        self._buffer: LiveBuffer[Slot] = LiveBuffer(options.policy, policy.buffer_frames, policy.buffer_bytes)
        self._order: deque[Slot] = deque()
        self._replies: asyncio.Queue[StreamReply | GlimpseError | None] = asyncio.Queue()
        self._told: asyncio.Queue[Told | None] = asyncio.Queue(_UNTOLD)
        self._open: dict[int, int] = {}
        self._changed = asyncio.Event()
        self._finished = False
        self._over = False
        self._refused = 0
        self._tally = tally

    @property
    def model(self) -> ModelRef:
        """The model that answers."""
        return self.served.reference

    async def offer(self, frame: LiveFrame) -> None:
        """Hand in the next picture. Waits for room under the policy `wait`, else returns at once.

        Under any policy it waits while too many pictures have no reply that was read. A stream that is over, so that
        its statistics have been told, takes no more: then this does nothing.
        """
        slot = Slot(frame, time.monotonic())
        await self._until(lambda: self._over or self._admits(slot))
        if self._over:
            return
        self._tally.received += 1
        self._order.append(slot)
        if self._finished:
            self._answer(slot, slot.dropped("closed"))
        else:
            reason: DropReason = "latest" if self._options.policy == "drop_latest" else "oldest"
            for gone in self._buffer.add(slot):
                self._answer(gone, gone.dropped(reason))
        self._changed.set()

    async def finish(self) -> None:
        """No more pictures come; what waits is still answered."""
        self._finished = True
        self._changed.set()

    async def replies(self) -> AsyncIterator[StreamReply]:
        """Everything that the client is told, `StreamStats` last. Raises the `GlimpseError` that ended the stream.

        Ends without statistics where the stream was abandoned.
        """
        while True:
            reply = await self._replies.get()
            if reply is None:
                return
            if isinstance(reply, GlimpseError):
                raise reply
            self._changed.set()
            yield reply

    async def run(self) -> None:
        """Work until the stream is finished or fails, and everything has been answered. Never fails itself."""
        failure: GlimpseError | None = None
        teller = asyncio.get_running_loop().create_task(self._tell_all())
        try:
            try:
                await self._pump()
            except GlimpseError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - a defect of ours must not leave a client without an answer
                _log_defect("a live stream", error)
                failure = GlimpseError("The stream could not be processed.", stage="live")
            self._finished = True
            for slot in [slot for slot in self._order if slot.reply is None]:
                self._answer(slot, slot.refused(failure) if failure else slot.dropped("closed"))
            self._changed.set()
            await self._told.put(None)
            await teller
            self._replies.put_nowait(self._tally.stats(self._teller.served.reference))
        finally:
            teller.cancel()
            self._finished = self._over = True
            self._replies.put_nowait(failure)
            self._changed.set()

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
        await self._ask(opened)
        asked: asyncio.Queue[Asked | None] = asyncio.Queue()
        ahead = asyncio.Semaphore(_AHEAD)
        pushing = asyncio.get_running_loop().create_task(self._push_all(asked, ahead))
        try:
            while (each := await asked.get()) is not None:
                await self._take(each.batch, cast("tuple[Looked, ...]", await each.asking))
                ahead.release()
            await pushing
        finally:
            pushing.cancel()
            while not asked.empty():
                if (unanswered := asked.get_nowait()) is not None:
                    unanswered.asking.cancel()
        for told in cast("tuple[Told, ...]", await self._ask(LiveClose())):
            await self._told.put(told)

    async def _push_all(self, asked: asyncio.Queue[Asked | None], ahead: asyncio.Semaphore) -> None:
        """Hand the worker what waits, until the end; None is put behind the last."""
        try:
            while await ahead.acquire() and (batch := await self._next_batch()):
                job = LivePush(tuple(slot.frame for slot in batch))
                asked.put_nowait(Asked(batch, asyncio.get_running_loop().create_task(self._ask(job))))
        finally:
            asked.put_nowait(None)

    async def _take(self, batch: Sequence[Slot], looked: Sequence[Looked]) -> None:
        """What the worker saw. Raises `MediaError` where it is one refusal too many in a row."""
        for slot, each in zip(batch, looked, strict=True):
            if not isinstance(each.answer, FrameRefused):
                self._refused = 0
                self._answer(slot, each.answer)
            else:
                self._refused += 1
                last = self._refused >= _REFUSALS
                self._answer(slot, replace(each.answer, goes_on=not last))
                if last:
                    message = f"{_REFUSALS} frames in a row were refused; the last one: {each.answer.message}"
                    raise MediaError(message, stage="live")
            for told in each.told:
                await self._told.put(told)

    async def _ask(self, job: LiveOpen | LivePush | LiveClose) -> object:
        try:
            async with asyncio.timeout(self._policy.answer_s):
                return await self._process.run(job, None)
        except TimeoutError:
            self._process.kill("deadline")
            message = f"its worker had no answer for {self._policy.answer_s:g} s (GLIMPSE_LIVE__ANSWER_SECONDS)"
            raise DeadlineExceeded(message, stage="live") from None

    async def _next_batch(self) -> list[Slot]:
        """The pictures that wait; none at the end. Raises `DeadlineExceeded` when the client stalls."""
        await self._within(lambda: self._replies.qsize() < _UNREAD or self._finished)
        await self._within(lambda: len(self._buffer) > 0 or self._finished)
        batch = self._buffer.take(_BATCH)
        self._changed.set()
        return batch

    async def _within(self, met: Callable[[], bool]) -> None:
        idle_s = self._policy.idle_s
        try:
            async with asyncio.timeout(idle_s):
                await self._until(met)
        except TimeoutError:
            what = "no reply was read" if self._unread() else "no frame came"
            raise DeadlineExceeded(f"{what} for {idle_s:g} s (GLIMPSE_LIVE__IDLE_SECONDS)", stage="live") from None

    async def _until(self, met: Callable[[], bool]) -> None:
        """Wait for something that only another task of this stream can change."""
        while not met():
            self._changed.clear()
            await self._changed.wait()

    def _unread(self) -> bool:
        """Whether so many pictures have no reply that was read that no more are taken."""
        return len(self._order) + self._replies.qsize() >= _UNREAD

    def _admits(self, slot: Slot) -> bool:
        if self._unread():
            return False
        return self._finished or self._options.policy != "wait" or self._buffer.fits(slot)

    def _answer(self, slot: Slot, reply: FrameResult | FrameDropped | FrameRefused) -> None:
        """Replies go out in the order in which pictures came in, whichever is known first."""
        if isinstance(reply, FrameResult):
            reply = replace(reply, lag_s=round(time.monotonic() - slot.arrived, 6))
        self._tally.count(reply)
        # Until the pictures before it are answered its place is kept, but not its bytes.
        slot.reply, slot.frame = reply, replace(slot.frame, data=b"")
        while self._order and self._order[0].reply is not None:
            self._replies.put_nowait(self._order.popleft().reply)

    async def _tell_all(self) -> None:
        """Steps of movements, as they are classified; what is under way at the end is withdrawn."""
        while (told := await self._told.get()) is not None:
            if told.step == "onset":
                self._open[told.movement] = told.track_id
            elif told.movement not in self._open:
                continue
            try:
                self._tell(await self._teller.tell(told))
            except Exception as error:  # noqa: BLE001 - a defect of ours costs one movement, not the stream
                _log_defect("a movement", error)
                self._tell(Withdrawn(told.movement, told.track_id, "not-classified"))
        for movement, track_id in list(self._open.items()):
            self._tell(Withdrawn(movement, track_id, "stream-ended"))

    def _tell(self, reply: Onset | Candidate | LiveEvent | Withdrawn) -> None:
        if isinstance(reply, LiveEvent | Withdrawn):
            del self._open[reply.movement]
        self._tally.count(reply)
        self._replies.put_nowait(reply)


def _log_defect(what: str, error: Exception) -> None:
    """Its type and where it came from, but not its text, which may hold what was in a picture."""
    places = "; ".join(f"{x.filename}:{x.lineno} in {x.name}" for x in traceback.extract_tb(error.__traceback__))
    _log.error("%s failed with %s at %s", what, type(error).__name__, places)
