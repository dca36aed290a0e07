"""What the service lets in: the size of one request, the number of uploads and of requests, the memory they hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from server.errors import DeadlineExceeded, LimitExceeded, Overloaded

Kind = Literal["analyze", "classify"]

_RETRY_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of requests; each field is named in the settings group of the same meaning."""

    upload_bytes: int
    upload_idle_s: float
    upload_bytes_per_s: int
    uploads: int
    inflight: int
    queued: int
    buffered_bytes: int
    deadline_s: float
    answer_s: float = 15.0


class Gauges(Protocol):
    """Shows how full the service is."""

    def track_inflight(self, kind: str, change: int) -> None:
        """`change` requests of a kind, or uploads (`upload`), began (+1) or ended (-1)."""

    def track_queued(self, change: int) -> None:
        """`change` requests began (+1) or ceased (-1) to wait for their turn."""


class Ticket:
    """The place of one request in the service, from its arrival to its answer."""

    def __init__(self, admission: Admission, kind: Kind, upload: ExitStack, stay: ExitStack) -> None:
        self._admission = admission
        self._kind: Kind = kind
        self._upload = upload
        self._stay = stay
        self._held = 0
        stay.callback(self._drop)

    def uploaded(self) -> None:
        """Change from the uploads to the requests that wait or are worked on.

        Raises `Overloaded` where there is no place among them.
        """
        self._upload.close()
        self._stay.enter_context(self._admission.inside())

    def hold(self, count: int) -> None:
        """Account for `count` more bytes of upload.

        Raises `LimitExceeded` past the size of one request, `Overloaded` past that of all together.
        """
        limits = self._admission.limits
        if self._held + count > limits.upload_bytes:
            raise upload_too_large(limits)
        if self._admission.buffered + count > limits.buffered_bytes:
            raise Overloaded("too much is being uploaded at the moment", retry_after_s=_RETRY_AFTER_S)
        self._held += count
        self._admission.buffered += count

    @asynccontextmanager
    async def turn(self, deadline: float) -> AsyncIterator[None]:
        """Wait for a free place among the requests that are worked on, then keep it.

        Raises `DeadlineExceeded` (stage `admission`) when none was free in time.
        """
        async with self._admission.place(self._kind, deadline):
            yield

    def _drop(self) -> None:
        self._admission.buffered -= self._held
        self._held = 0


class Admission:
    """Bounds the requests inside: `inflight` are worked on, `queued` more may wait, the next is refused.

    An upload takes no place among them, so that slow ones keep nobody from being served; of these, `uploads` may be in
    progress.
    """

    def __init__(self, limits: Limits, gauges: Gauges) -> None:
        self.limits = limits
        self.buffered = 0
        self._gauges = gauges
        self._uploading = 0
        self._inside = 0
        self._places = asyncio.Semaphore(limits.inflight)

    @contextmanager
    def enter(self, kind: Kind) -> Iterator[Ticket]:
        """Let one request begin its upload, unless nobody could take it now. Raises `Overloaded`."""
        self._check_inside()
        with ExitStack() as stay, ExitStack() as upload:
            upload.enter_context(self._uploads())
            yield Ticket(self, kind, upload, stay)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Count one more request that waits or is worked on; see `Ticket.uploaded`."""
        self._check_inside()
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    @contextmanager
    def _uploads(self) -> Iterator[None]:
        if self._uploading >= self.limits.uploads:
            raise Overloaded("too many uploads are in progress", retry_after_s=_RETRY_AFTER_S)
        self._uploading += 1
        self._gauges.track_inflight("upload", +1)
        try:
            yield
        finally:
            self._uploading -= 1
            self._gauges.track_inflight("upload", -1)

    def _check_inside(self) -> None:
        if self._inside >= self.limits.inflight + self.limits.queued:
            raise Overloaded("too many requests are waiting", retry_after_s=_RETRY_AFTER_S)

    @asynccontextmanager
    async def place(self, kind: Kind, deadline: float) -> AsyncIterator[None]:
        """Hold one of the `inflight` places; see `Ticket.turn`."""
        self._gauges.track_queued(+1)
        try:
            async with asyncio.timeout_at(deadline):
                await self._places.acquire()
        except TimeoutError:
            raise DeadlineExceeded("no place became free in time", stage="admission") from None
        finally:
            self._gauges.track_queued(-1)
        self._gauges.track_inflight(kind, +1)
        try:
            yield
        finally:
            self._gauges.track_inflight(kind, -1)
            self._places.release()


def upload_too_large(limits: Limits) -> LimitExceeded:
    """The refusal of a body that is larger than `limits.upload_bytes`."""
    return LimitExceeded(
        f"the upload is larger than {limits.upload_bytes} bytes (GLIMPSE_LIMITS__UPLOAD_BYTES)",
        setting="GLIMPSE_LIMITS__UPLOAD_BYTES",
        limit=limits.upload_bytes,
        stage="upload",
    )
