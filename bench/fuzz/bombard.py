"""A service under fire: everything is answered, nothing is left behind, nothing grows."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

import grpc
import httpx

from bench.fuzz import mutation, requests, seeds
from bench.fuzz.answers import Outcome
from bench.live_service import Service

SETTINGS: Mapping[str, str] = {
    "GLIMPSE_WORKERS__COUNT": "2",
    "GLIMPSE_LIMITS__UPLOAD_BYTES": str(2**20),
    "GLIMPSE_LIMITS__CLIP_SECONDS": "5",
    "GLIMPSE_LIMITS__CLIP_FRAMES": "100",
    "GLIMPSE_LIMITS__FRAME_PIXELS": str(320 * 240),
    "GLIMPSE_LIMITS__CLIP_PIXELS": str(100 * 320 * 240),
    "GLIMPSE_LIMITS__UPLOAD_IDLE_SECONDS": "1",
    "GLIMPSE_LIMITS__QUEUED": "64",
    "GLIMPSE_LIVE__MAX_STREAMS": "4",
    "GLIMPSE_LIVE__FRAMES_PER_SECOND": "10000",
    "GLIMPSE_LIVE__IDLE_SECONDS": "2",
    "GLIMPSE_SERVER__ALLOWED_HOSTS": "x,here",
    "GLIMPSE_SERVER__HEADER_SECONDS": "1",
    "GLIMPSE_SERVER__GRPC_KEEPALIVE_SECONDS": "2",
    "GLIMPSE_SERVER__REQUEST_DEADLINE_SECONDS": "15",
}
"""Little patience and small limits, so that what waits does not wait for long."""
_UNFORESEEN = b"unforeseen error"
"""What the service logs where it answers an error that no one has given a code."""
_SETTLE_S = 60.0
_CONNECTIONS = 12


@dataclass(frozen=True, slots=True)
class State:
    """What a service at rest consists of: resident bytes of the gateway and of its workers, and how many these are."""

    gateway_bytes: int
    worker_bytes: int
    workers: int


@dataclass(frozen=True, slots=True)
class Fault:
    """What must not be: the kind and name of the mutant, what it said, and its bytes."""

    kind: str
    mutant: mutation.Mutant
    outcome: Outcome
    data: bytes


@dataclass
class Found:
    """What came of it. `first` is one mutant of each outcome, `unforeseen`: errors that the service logged as such."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: dict[tuple[str, str], mutation.Mutant] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    warm: State | None = None
    last: State | None = None
    ready: bool = False
    restarts: int = 0
    unforeseen: int = 0
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        """Requests in all."""
        return self.outcomes.total()


class Bombardment:
    """One run. `media` and `others` are how many mutants of each; `warm_up` of all come before memory is measured."""

    def __init__(self, service: Service, *, seed: int, warm_up: int, end: float = float("inf")) -> None:
        self._service = service
        self._seed = seed
        self._warm_up = warm_up
        self._end = end
        self._seeds = requests.all_seeds()
        self.found = Found()
        self._sending: dict[str, str] = {}

    async def run(self, media: int, others: int, told: Callable[[int], None] = lambda _: None) -> Found:
        """Send everything, over several connections at a time; `told` is called with how many were sent."""
        began = time.monotonic()
        at_rest = len(self._service.workers)
        async with grpc.aio.insecure_channel(self._service.grpc) as channel:
            target = requests.Target(self._service.url.removeprefix("http://"), self._service.grpc, channel)
            plan = iter(self._plan(media, others))
            await self._send_all(islice(plan, self._warm_up), target, told)
            self.found.warm = await self._settled(at_rest)
            await self._send_all(plan, target, told)
        self.found.last = await self._settled(at_rest)
        async with httpx.AsyncClient(base_url=self._service.url, trust_env=False) as client:
            self.found.ready = (await client.get("/readyz")).status_code == 200
            metrics = (await client.get("/metrics")).text
        lines = [line for line in metrics.splitlines() if line.startswith("glimpse_worker_restarts_total{")]
        self.found.restarts = round(sum(float(line.rsplit(" ", 1)[1]) for line in lines))
        self.found.unforeseen = self._service.log.read_bytes().count(_UNFORESEEN)
        self.found.seconds = time.monotonic() - began
        return self.found

    def made(self, kind: str, mutant: mutation.Mutant) -> bytes:
        """The bytes of a mutant."""
        form = seeds.form_of(mutant.seed) if kind in requests.MEDIA else "bytes"
        alike = {
            name: data
            for name, data in self._seeds[kind].items()
            if kind not in requests.MEDIA or name == mutant.seed or seeds.form_of(name) == form
        }
        return mutation.apply(mutant, alike, form)

    async def smallest(
        self, kind: str, mutant: mutation.Mutant, wanted: str, target: requests.Target
    ) -> mutation.Mutant:
        """The same outcome with as few steps as possible."""
        for step in mutant.steps:
            smaller = mutant.without(step)
            if (await requests.send(kind, self.made(kind, smaller), target)).name == wanted:
                mutant = smaller
        return mutant

    def _plan(self, media: int, others: int) -> Iterator[tuple[str, mutation.Mutant]]:
        order = random.Random(self._seed)
        every = ["media"] * media + ["other"] * others
        order.shuffle(every)
        for number, which in enumerate(every):
            weights = requests.MEDIA if which == "media" else requests.WEIGHTS
            kind = order.choices(list(weights), list(weights.values()))[0]
            yield kind, mutation.drawn(f"{self._seed}:{number}", sorted(self._seeds[kind]))

    async def _send_all(
        self, plan: Iterable[tuple[str, mutation.Mutant]], target: requests.Target, told: Callable[[int], None]
    ) -> None:
        left = iter(plan)

        async def sender() -> None:
            for kind, mutant in left:
                if time.monotonic() > self._end:
                    return
                await self._send(kind, mutant, target)
                told(self.found.sent)

        async with asyncio.TaskGroup() as senders:
            for _ in range(_CONNECTIONS):
                senders.create_task(sender())

    async def _send(self, kind: str, mutant: mutation.Mutant, target: requests.Target) -> None:
        data = self.made(kind, mutant)
        self._sending[mutant.key] = kind
        outcome = await requests.send(kind, data, target)
        if self._service.process.poll() is not None:
            raise SystemExit(self._obituary())
        del self._sending[mutant.key]
        self.found.outcomes[kind, outcome.name] += 1
        self.found.first.setdefault((kind, outcome.name), mutant)
        if outcome.fault:
            self.found.faults.append(Fault(kind, mutant, outcome, data))

    def _obituary(self) -> str:
        """Why there is no service any more, as far as it can be known."""
        under_way = ", ".join(f"{kind} {key}" for key, kind in self._sending.items())
        said = self._service.log.read_text(encoding="utf-8", errors="replace")[-6000:]
        return f"{said}\nthe service ended with {self._service.process.returncode}; under way were {under_way}"

    async def _settled(self, workers: int) -> State:
        """At rest, when as many processes are there as at the beginning."""
        end = time.monotonic() + _SETTLE_S
        while len(now := self._service.workers) != workers and time.monotonic() < end:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.2)
        return State(self._service.rss_of([self._service.process.pid]), self._service.rss_of(now), len(now))
