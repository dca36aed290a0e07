"""Live streams: how many are let in, by which model they are answered, and what each is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

from server.errors import ModelNotServable, Overloaded
from server.pipeline.base import LiveBounds, Observer, OpenStream, check_stream_options
from server.pipeline.live_stream import LivePolicy, LiveStream
from server.pipeline.live_tally import Tally
from server.pipeline.live_teller import Teller
from server.pipeline.live_workers import LiveWorkers
from server.pipeline.served import Served, choose
from server.predict.base import Predictor
from server.spans import current, span
from server.streams import StreamOptions

SERVED_SHARE = 0.8
"""Share of the processors that the pictures of live streams may take; the rest is for the gateway and inference."""


def capacity(frame_cost_s: float, processors: int) -> float:
    """Frames per second that all streams together may send to `processors`, where one costs `frame_cost_s` seconds of
    processor time (`LiveWorkers.frame_cost_s`).
    """
    return round(SERVED_SHARE * processors / frame_cost_s, 1)


class LivePipeline:
    """Implements `server.pipeline.base.LiveAnalyzer`: opens streams, as many as the machine can serve."""

    def __init__(
        self,
        *,
        predictor: Predictor,
        workers: LiveWorkers,
        policy: LivePolicy,
        observer: Observer,
        default_model: str,
        tenant: Callable[[], str] = str,
        tenant_share: float = 1.0,
    ) -> None:
        self._predictor = predictor
        self._workers = workers
        self._policy = policy
        self._observer = observer
        self._default_model = default_model
        self._tenant = tenant
        self._share = tenant_share
        self._rates: dict[int, tuple[str, float]] = {}
        self._opened = 0

    @property
    def bounds(self) -> LiveBounds:
        """What clients are told before they send anything."""
        policy = self._policy
        return LiveBounds(policy.max_streams, policy.frames_per_s, policy.idle_s, policy.buffer_frames)

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._rates)

    @property
    def frames_per_s(self) -> float:
        """What those that are open said they would send."""
        return sum(rate for _, rate in self._rates.values())

    @asynccontextmanager
    async def open(self, options: StreamOptions) -> AsyncIterator[OpenStream]:
        """A stream, until the block is left; what it holds is given back as soon as it has ended by itself.

        Raises `OptionError`, `Overloaded` with what is full, `UnknownModel`, `ModelNotServable`, `BackendUnavailable`,
        all before a process is taken.
        """
        check_stream_options(options)
        async with AsyncExitStack() as taking:
            taking.enter_context(self._admitted(options.frame_rate))
            with span("model"):
                served = await self._served(options)
            with span("worker wait"):
                process = await taking.enter_async_context(self._workers.borrow())
            taken = taking.pop_all()
        tally = Tally(self._observer)
        stream = LiveStream(
            process=process,
            teller=Teller(
                self._predictor,
                served,
                self._observer,
                inference_s=self._policy.inference_s,
                detail=options.detail,
            ),
            served=served,
            options=options,
            policy=self._policy,
            tally=tally,
        )
        told = current()
        told.set({"glimpse.model": served.info.name, "glimpse.model_version": served.version})
        told.set({"glimpse.live.policy": options.policy, "glimpse.live.frame_rate": options.frame_rate})
        work = asyncio.get_running_loop().create_task(_work(stream, taken))
        try:
            yield stream
        finally:
            work.cancel()
            try:
                # Not `await work`: that would hide a cancellation of this task behind that of the work.
                await asyncio.wait({work})
            finally:
                told.set({f"glimpse.live.{name}": count for name, count in tally.counts().items()})
                await taken.aclose()

    @contextmanager
    def _admitted(self, frame_rate: float) -> Iterator[None]:
        tenant = self._tenant()
        self._check(frame_rate)
        self._check_share(tenant, frame_rate)
        self._opened += 1
        number = self._opened
        self._rates[number] = (tenant, frame_rate)
        self._observer.track_live_streams(+1)
        try:
            yield
        finally:
            del self._rates[number]
            self._observer.track_live_streams(-1)

    async def _served(self, options: StreamOptions) -> Served:
        served = await choose(self._predictor, options.model or self._default_model, options.version)
        if served.info.backend != self._predictor.backend:
            message = (
                f"model {served.info.name!r} answers clips alone: it lives elsewhere, and no stream waits for that"
            )
            raise ModelNotServable(message, stage="live")
        return served

    def _check(self, frame_rate: float) -> None:
        policy = self._policy
        if len(self._rates) >= policy.max_streams:
            message = f"{policy.max_streams} streams are open, as many as are served (GLIMPSE_LIVE__MAX_STREAMS)"
            raise Overloaded(message, stage="live")
        taken = self.frames_per_s
        if taken and taken + frame_rate > policy.frames_per_s:
            message = (
                f"the streams that are open send {taken:g} frames per second; {frame_rate:g} more pass the"
                f" {policy.frames_per_s:g} that this machine serves (GLIMPSE_LIVE__FRAMES_PER_SECOND)"
            )
            raise Overloaded(message, stage="live")

    def _check_share(self, tenant: str, frame_rate: float) -> None:
        """Leave something for others; the first stream of a tenant may be as large as all that is left."""
        policy = self._policy
        rates = [rate for name, rate in self._rates.values() if name == tenant]
        if not rates:
            return
        streams, frames_per_s = self._share * policy.max_streams, self._share * policy.frames_per_s
        if len(rates) + 1 > streams or sum(rates) + frame_rate > frames_per_s:
            message = (
                f"one caller may have {int(streams)} streams with {frames_per_s:g} frames per second"
                " (GLIMPSE_LIVE__TENANT_SHARE)"
            )
            raise Overloaded(message, stage="live")


async def _work(stream: LiveStream, taken: AsyncExitStack) -> None:
    async with taken:
        await stream.run()
