"""What the service lets in: the size of one request, the number of uploads and of requests, the memory they hold."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from server.access.caller import CALLER
from server.api.expectation import ServiceTime, ahead
from server.errors import DeadlineExceeded, LimitExceeded, Overloaded
from server.fairness import FairQueue, may_take
from server.spans import span

Kind = Literal["analyze", "classify", "render"]

_RETRY_AFTER_S = 2.0
"""Where nothing is known yet, and for uploads, which end when their clients wish."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of requests; each field is named in the settings group of the same meaning. `workers` are the requests
    that are served at a time.
    """

    upload_bytes: int
    upload_idle_s: float
    upload_bytes_per_s: int
    uploads: int
    inflight: int
    queued: int
    buffered_bytes: int
    deadline_s: float
    answer_s: float = 15.0
    workers: int = 1


class Gauges(Protocol):
    """Shows how full the service is."""

    def track_inflight(self, kind: str, change: int) -> None:
        """`change` requests of a kind, or uploads (`upload`), began (+1) or ended (-1)."""

    def track_queued(self, change: int) -> None:
        """`change` requests began (+1) or ceased (-1) to wait for their turn."""

    def observe_wait(self, kind: str, seconds: float) -> None:
        """A request has got what it waited for: its turn (`request`), or a worker (`worker`)."""

    def observe_upload(self, kind: str, size_bytes: int) -> None:
        """The body of a request of a kind has come to its end."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """`turn` is done when its turn has come or it was refused; `give_up` gives its place to another at once."""

    turn: asyncio.Future[None]
    give_up: Callable[[], None]


class Ticket:
    """The place of one request of a tenant in the service, from its arrival to its answer."""

    def __init__(self, admission: Admission, kind: Kind, tenant: str, upload: ExitStack, stay: ExitStack) -> None:
        self._admission = admission
        self._kind: Kind = kind
        self._tenant = tenant
        self._upload = upload
        self._inside = stay.enter_context(ExitStack())
        self._held = 0
        stay.callback(self._drop)

    def uploaded(self) -> None:
        """Change from the uploads to the requests that wait or are worked on.

        Raises `Overloaded` where there is no place among them.
        """
        self._upload.close()
        self._admission.uploaded(self._kind, self._held)
        self._inside.enter_context(self._admission.inside(self._tenant))

    def hold(self, count: int) -> None:
        """Account for `count` more bytes of upload.

        Raises `LimitExceeded` past the size of one request, `Overloaded` past that of all or of the tenant's share.
        """
        limits = self._admission.limits
        if self._held + count > limits.upload_bytes:
            raise upload_too_large(limits)
        self._admission.buffer(self._tenant, count)
        self._held += count

    @contextmanager
    def answer(self, count: int) -> Iterator[None]:
        """Account for an answer of `count` bytes, also when the request is no longer inside. Raises `Overloaded`."""
        self._admission.buffer(self._tenant, count)
        try:
            yield
        finally:
            self._admission.buffer(self._tenant, -count)

    @asynccontextmanager
    async def turn(self, deadline: float) -> AsyncIterator[None]:
        """Wait for a free place among the requests that are worked on, then keep it.

        Raises `Overloaded` at once where the answer would come too late, and for a request that has to give way to
        that of another tenant; `DeadlineExceeded` (stage `admission`) when no place was free in time.
        """
        async with self._admission.place(self._kind, deadline, self._tenant, self._inside.close):
            yield

    def _drop(self) -> None:
        self._admission.buffer(self._tenant, -self._held)
        self._held = 0


class Admission:
    """Bounds the requests inside: `inflight` are worked on, `queued` more may wait, the next is refused.

    An upload takes no place among them, so that slow ones keep nobody from being served; of these, `uploads` may be in
    progress. Tenants wait in turn. No tenant may take all of what there is (`server.fairness.may_take`), and where all
    wait that may, the newest of the tenant with most gives way to one that has fewer.
    """

    def __init__(self, limits: Limits, gauges: Gauges, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self._gauges = gauges
        self._clock = clock
        self._service = ServiceTime(limits.workers, clock)
        self._uploading: Counter[str] = Counter()
        self._buffered: Counter[str] = Counter()
        self._inside: Counter[str] = Counter()
        self._held = 0
        self._queue: FairQueue[_Waiter] = FairQueue()

    @property
    def buffered(self) -> int:
        """Bytes that all uploads hold."""
        return self._buffered.total()

    def retry_after_s(self, tenant: str) -> float:
        """When the requests that are before one more of `tenant` will have been answered, as far as is known."""
        if self._service.seconds is None:
            return _RETRY_AFTER_S
        return self._ahead(tenant, self._inside[tenant]) * self._service.seconds

    @contextmanager
    def enter(self, kind: Kind) -> Iterator[Ticket]:
        """Let one request begin its upload, unless nobody could take it now. Raises `Overloaded`."""
        tenant = CALLER.get().tenant
        if self._full and self._crowder(tenant) is None:
            raise self._refusal(tenant)
        with ExitStack() as stay, ExitStack() as upload:
            upload.enter_context(self._upload(tenant))
            yield Ticket(self, kind, tenant, upload, stay)

    @contextmanager
    def inside(self, tenant: str) -> Iterator[None]:
        """Count one more request that waits or is worked on; see `Ticket.uploaded`."""
        if self._full:
            crowder = self._crowder(tenant)
            if crowder is None:
                raise self._refusal(tenant)
            given_up = self._queue.newest(crowder)
            given_up.turn.set_exception(self._refusal(crowder))
            given_up.give_up()
        with _counted(self._inside, tenant):
            yield

    def uploaded(self, kind: Kind, size_bytes: int) -> None:
        """One more upload is complete."""
        self._gauges.observe_upload(kind, size_bytes)

    def buffer(self, tenant: str, count: int) -> None:
        """`count` more bytes are held for a tenant, or fewer where it is negative. Raises `Overloaded`."""
        if count > 0 and not may_take(count, self._buffered[tenant], self.buffered, self.limits.buffered_bytes):
            raise Overloaded("too much is being uploaded at the moment", retry_after_s=_RETRY_AFTER_S)
        self._buffered[tenant] += count
        if not self._buffered[tenant]:
            del self._buffered[tenant]

    @asynccontextmanager
    async def place(
        self, kind: Kind, deadline: float, tenant: str = "", give_up: Callable[[], None] = lambda: None
    ) -> AsyncIterator[None]:
        """Hold one of the `inflight` places; see `Ticket.turn`. `give_up` is called where it has to give way."""
        with span("admission"):
            self._check_expectation(tenant, deadline)
            await self._wait(tenant, deadline, give_up)
        self._gauges.track_inflight(kind, +1)
        begun = self._service.begin()
        answered = False
        try:
            yield
            answered = True
        except Exception:
            answered = True
            raise
        finally:
            self._gauges.track_inflight(kind, -1)
            self._release(tenant, self._service.end(begun, answered=answered))

    @contextmanager
    def _upload(self, tenant: str) -> Iterator[None]:
        if not may_take(1, self._uploading[tenant], self._uploading.total(), self.limits.uploads):
            raise Overloaded("too many uploads are in progress", retry_after_s=_RETRY_AFTER_S)
        self._gauges.track_inflight("upload", +1)
        try:
            with _counted(self._uploading, tenant):
                yield
        finally:
            self._gauges.track_inflight("upload", -1)

    @property
    def _full(self) -> bool:
        return self._inside.total() >= self.limits.inflight + self.limits.queued

    def _crowder(self, tenant: str) -> str | None:
        """The tenant of which a request gives way to one of `tenant`, None where nobody has more than that would."""
        waiting = [name for name in self._inside if self._queue.waiting(name)]
        most = max(waiting, key=lambda name: self._inside[name], default=None)
        return most if most is not None and self._inside[most] > self._inside[tenant] + 1 else None

    def _refusal(self, tenant: str) -> Overloaded:
        return Overloaded("too many requests are waiting", retry_after_s=self.retry_after_s(tenant))

    def _check_expectation(self, tenant: str, deadline: float) -> None:
        """Refuse what would be answered too late, before it has waited for that."""
        if self._service.seconds is None:
            return
        # This one is inside already, and nobody waits for himself.
        before = self._ahead(tenant, max(0, self._inside[tenant] - 1))
        if before > 0 and self._clock() + (before + 1) * self._service.seconds > deadline:
            message = "the requests that wait already take longer than this one may"
            raise Overloaded(message, retry_after_s=before * self._service.seconds)

    def _ahead(self, tenant: str, own: int) -> int:
        return ahead(own, (count for name, count in self._inside.items() if name != tenant))

    async def _wait(self, tenant: str, deadline: float, give_up: Callable[[], None]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(turn, give_up)
        self._queue.join(tenant, waiter)
        self._gauges.track_queued(+1)
        began = self._clock()
        self._dispatch()
        try:
            async with asyncio.timeout_at(deadline):
                if not turn.done():
                    await asyncio.wait({turn})
            turn.result()
            self._gauges.observe_wait("request", self._clock() - began)
        except (TimeoutError, asyncio.CancelledError) as error:
            if not self._queue.leave(tenant, waiter) and turn.exception() is None:
                self._release(tenant, None)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("no place became free in time", stage="admission") from None
            raise
        finally:
            self._gauges.track_queued(-1)

    def _release(self, tenant: str, took_s: float | None) -> None:
        self._held -= 1
        self._queue.end(tenant, took_s)
        self._dispatch()

    def _dispatch(self) -> None:
        while (waiter := self._queue.take(self._may_begin)) is not None:
            self._held += 1
            waiter.turn.set_result(None)

    def _may_begin(self, tenant: str) -> bool:
        return may_take(1, self._queue.holding(tenant), self._held, self.limits.inflight)


@contextmanager
def _counted(counter: Counter[str], tenant: str) -> Iterator[None]:
    counter[tenant] += 1
    try:
        yield
    finally:
        counter[tenant] -= 1
        if not counter[tenant]:
            del counter[tenant]


def upload_too_large(limits: Limits) -> LimitExceeded:
    """The refusal of a body that is larger than `limits.upload_bytes`."""
    return LimitExceeded(
        f"the upload is larger than {limits.upload_bytes} bytes (GLIMPSE_LIMITS__UPLOAD_BYTES)",
        setting="GLIMPSE_LIMITS__UPLOAD_BYTES",
        limit=limits.upload_bytes,
        stage="upload",
    )
