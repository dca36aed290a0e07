"""A live stream that outlives its connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import replace
from types import TracebackType
from typing import Protocol, Self

from client.connection import check
from client.errors import ClientError, StreamLost
from client.feed import pulled
from client.live_types import (
    Frame,
    FrameDropped,
    FrameRefused,
    FrameReply,
    FrameResult,
    MovementReply,
    Reconnected,
    StreamOpened,
    StreamOptions,
    StreamReply,
    StreamStats,
)
from client.numbering import Numbering
from client.outbox import Outbox
from client.retry import Retry
from client.tally import Tally
from client.types import ServerInfo

_UNREAD = 512
"""Replies that may wait for a caller who does not read them, before the service must wait as well."""
_WAITING_FRAMES = 64
_WAITING_BYTES = 64 << 20


class Connected(Protocol):
    """One connection, as `client.connection.Connection` is."""

    opened: StreamOpened
    over: bool

    async def send(self, index: int, frame: Frame) -> bool:
        """False where it is broken."""

    async def finish(self) -> None:
        """Send no more."""

    def replies(self) -> AsyncIterator[FrameReply | MovementReply | StreamStats]:
        """Every answer. Raises `ClientError`."""

    def cancel(self) -> None:
        """Leave."""


Connect = Callable[[StreamOptions], Awaitable[tuple[Connected, ServerInfo]]]


class AsyncStream:
    """An open stream, as a context manager: `send` frames and read the replies, or let `follow` do both.

    Replies come as an asynchronous iteration, `StreamStats` last. It raises the `ClientError` that ended the stream,
    and so does `send`. Where a connection breaks and the reason is retryable, the stream goes on over a new one with
    the clock of the first, and says so by a `Reconnected`. Leaving the block ends the stream, whatever is under way.
    Replies must be read: while many wait, the service and then the sender must wait.
    """

    def __init__(self, connect: Connect, options: StreamOptions, retry: Retry) -> None:
        self.tally = Tally()
        self._connect = connect
        self._options = options
        self._retry = retry
        self._replies: asyncio.Queue[StreamReply | ClientError | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._outbox = Outbox(options.policy, self._answered, most_frames=_WAITING_FRAMES, most_bytes=_WAITING_BYTES)
        self._numbering = Numbering()
        self._limits: ServerInfo | None = None
        self._work: asyncio.Task[None] | None = None
        self._opened: StreamOpened | None = None

    @property
    def opened(self) -> StreamOpened:
        """What the latest connection said when it was opened."""
        assert self._opened is not None, "the stream is open inside its block"
        return self._opened

    async def __aenter__(self) -> Self:
        """Open it. Raises `ClientError`, without another attempt: nothing is lost yet."""
        connection, self._limits = await self._connect(self._options)
        self._opened = connection.opened
        self._work = asyncio.get_running_loop().create_task(self._run(connection))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._work is not None
        self._work.cancel()
        await asyncio.wait([self._work])
        if not self._work.cancelled():
            self._work.result()

    async def send(self, frame: Frame) -> int:
        """Hand in the next frame; its number, counted from 0.

        Waits under the policy `wait` while the service cannot take it, else returns at once. Raises `FrameError` for
        one that the service would not take, and the `ClientError` that ended the stream.
        """
        assert self._limits is not None, "the stream is open inside its block"
        check(frame, self._limits)
        index = await self._outbox.put(frame)
        self.tally.sent = self._outbox.handed_in
        return index

    def finish(self) -> None:
        """No more frames come: the replies end when all have been answered."""
        self._outbox.finish()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamReply:
        reply = await self._replies.get()
        if reply is None or isinstance(reply, ClientError):
            self._replies.put_nowait(reply)
            if reply is None:
                raise StopAsyncIteration
            raise reply
        self._room.set()
        return reply

    async def follow(self, frames: Iterable[Frame] | AsyncIterable[Frame]) -> AsyncIterator[StreamReply]:
        """Send the frames while the replies are read. What `frames` raises is raised after the replies to those before.

        An iterable that blocks, such as a camera, is read in a thread of its own.
        """
        feeding = asyncio.get_running_loop().create_task(self._feed(frames))
        try:
            async for reply in self:
                yield reply
            if feeding.done():
                feeding.result()
        finally:
            feeding.cancel()
            await asyncio.wait([feeding])

    async def _feed(self, frames: Iterable[Frame] | AsyncIterable[Frame]) -> None:
        source = frames if isinstance(frames, AsyncIterable) else pulled(frames)
        try:
            async for frame in source:
                if self._outbox.finished:
                    return
                await self.send(frame)
        except ClientError:
            # Why the stream ended is told by the replies.
            if not self._outbox.finished:
                raise
        finally:
            self.finish()

    async def _run(self, connection: Connected) -> None:
        """Serve one connection after the other until the stream ends."""
        end: ClientError | None = None
        try:
            await self._serve_all(connection)
        except ClientError as error:
            end = error
        except BaseException as error:
            end = ClientError(f"the stream was left: {type(error).__name__}")
            raise
        finally:
            self._outbox.close(end or ClientError("the stream has ended"))
            self._replies.put_nowait(end)

    async def _serve_all(self, connection: Connected) -> None:
        attempts = 0
        while True:
            before = self.tally.analysed
            try:
                stats = await self._serve(connection)
            except ClientError as error:
                cause = error
            else:
                self._deliver(stats)
                return
            lost = self._outbox.lost()
            self.tally.unanswered += len(lost)
            attempts = 0 if self.tally.analysed > before else attempts
            connection, attempts = await self._again(cause, lost, attempts)
            self._deliver(
                Reconnected(
                    code=cause.code,
                    message=cause.message,
                    attempts=attempts,
                    unanswered=lost,
                    movements=self._numbering.restart(),
                    opened=connection.opened,
                )
            )

    async def _again(self, cause: ClientError, lost: tuple[int, ...], attempts: int) -> tuple[Connected, int]:
        """The next connection and how many attempts in a row there have been. Raises the `ClientError` that ends it."""
        latest = cause
        while True:
            if not latest.retryable:
                raise latest
            if attempts >= self._retry.attempts or not await self._outbox.pending():
                waiting = self._outbox.lost(waiting=True)
                self.tally.unanswered += len(waiting)
                raise _lost(latest, (*lost, *waiting))
            attempts += 1
            await asyncio.sleep(self._retry.pause_s(attempts, latest.retry_after_s))
            try:
                connection, self._limits = await self._connect(self._options)
            except ClientError as error:
                latest = error
            else:
                self._opened = connection.opened
                return connection, attempts

    async def _serve(self, connection: Connected) -> StreamStats:
        """Send what waits and pass on what comes. Raises the `ClientError` that ended the connection."""
        writing = asyncio.get_running_loop().create_task(self._write(connection))
        stats: StreamStats | None = None
        try:
            async for reply in connection.replies():
                if isinstance(reply, StreamStats):
                    stats = reply
                else:
                    await self._take(reply)
        finally:
            writing.cancel()
            await asyncio.wait([writing])
            connection.cancel()
        if not writing.cancelled():
            writing.result()
        assert stats is not None
        return stats

    async def _write(self, connection: Connected) -> None:
        while not connection.over and (item := await self._outbox.take()) is not None:
            if self._options.clock_zero_us is None:
                self._options = replace(self._options, clock_zero_us=item[1].capture_us)
            if not await connection.send(*item):
                return
        await connection.finish()

    async def _take(self, reply: FrameReply | MovementReply) -> None:
        while self._replies.qsize() >= _UNREAD:
            self._room.clear()
            await self._room.wait()
        numbered = self._numbering.onward(reply)
        if isinstance(numbered, FrameResult | FrameDropped | FrameRefused):
            self._outbox.answer(numbered)
        else:
            self._deliver(numbered)

    def _answered(self, reply: FrameReply, waited_s: float) -> None:
        if isinstance(reply, FrameResult):
            self.tally.note_lag(waited_s)
        self._deliver(reply)

    def _deliver(self, reply: StreamReply) -> None:
        self.tally.add(reply)
        self._replies.put_nowait(reply)


def _lost(cause: ClientError, unanswered: tuple[int, ...]) -> StreamLost:
    return StreamLost(f"the stream broke and was not opened again: {cause.message}", unanswered=unanswered, cause=cause)
