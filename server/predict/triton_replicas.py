"""The Tritons behind one address: a channel and circuits for each, and which of them is asked next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from tritonclient.grpc.aio import InferenceServerClient

from server.errors import BackendUnavailable
from server.predict.base import BackendWatch
from server.predict.breaker import Circuits, CircuitState
from server.predict.catalogue import Catalogue
from server.predict.triton_addresses import Addresses, Endpoint

_LOOK_UP_S = 5.0
_LOOK_UP_WORRIED_S = 1.0
_DOUBT_S = 10.0
_BEST_FIRST: tuple[CircuitState, ...] = ("closed", "trying", "open")


@dataclass(eq=False)
class Replica:
    """One Triton: its connection, its circuits, the calls that it works on, and what it told that it has."""

    endpoint: Endpoint
    circuits: Circuits
    credentials: grpc.ChannelCredentials | None = None
    catalogue: Catalogue | None = None
    under_way: set[asyncio.Task[Any]] = field(default_factory=set)
    turn: int = 0
    away_until: float | None = None
    failing: dict[str, float] = field(default_factory=dict)
    _client: InferenceServerClient | None = None

    def client(self) -> InferenceServerClient:
        """The connection, made when it is first asked for."""
        if self._client is None:
            self._client = InferenceServerClient(
                self.endpoint.target, creds=self.credentials, channel_args=self.endpoint.channel_options()
            )
        return self._client

    def doubted(self, model: str, now: float) -> bool:
        """Whether it was asked in vain lately, at all or for `model`."""
        return (self.away_until or now) > now or self.failing.get(model, now) > now

    async def close(self) -> None:
        """Close the connection; calls under way end."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


class Replicas:
    """Every Triton that `addresses` stand for. Names are looked up at most every 5 s, every second while one of the
    servers is doubted.

    The next call goes to the server with the fewest calls under way, in turn where several have as few: such as
    were not asked in vain lately come first, and none whose circuit is open while another's is closed. A server in
    doubt is trusted again as soon as it answers, for instance a probe. `circuits` are those of the first server, and
    the pattern of the others'. `told` and `watch` hear of the best state that a circuit has on any server, since calls
    go there.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        watch: BackendWatch,
        told: Callable[[str, CircuitState], None],
        credentials: grpc.ChannelCredentials | None = None,
        circuits: Circuits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._addresses = addresses
        self._watch = watch
        self._told = told
        self._credentials = credentials
        self._pattern = circuits or Circuits(told=self._hear)
        self._spare: Circuits | None = self._pattern
        self._clock = clock
        self._turns = 0
        self._looked_up_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._states: dict[str, CircuitState] = {}
        self._leaving: list[Replica] = []
        self.all: list[Replica] = []
        self.closed = False
        self.news = 0
        self._follow()

    async def find(self) -> None:
        """Look names up where it is time to; only who knows no server at all waits for it.

        Raises `BackendUnavailable` where there is none.
        """
        if self.closed:
            raise BackendUnavailable("the predictor is closed", stage="inference")
        worried = not self.all or any(replica.away_until for replica in self.all)
        pause_s = _LOOK_UP_WORRIED_S if worried else _LOOK_UP_S
        if not self._addresses.fixed and self._looking is None and self._clock() - self._looked_up_at >= pause_s:
            self._looking = asyncio.get_running_loop().create_task(self._look_up())
        if not self.all and self._looking is not None:
            await asyncio.shield(self._looking)
        if not self.all:
            raise BackendUnavailable("the name of the inference server is not found", stage="inference")

    def pick(self, model: str, among: Collection[Replica], tried: Collection[Replica] = ()) -> Replica:
        """The server of `among` that a call for `model` goes to, those of `tried` only where there is no other; of all
        where `among` has none left.
        """
        found = [replica for replica in self.all if replica in among] or self.all
        if len(found) == 1:
            return found[0]
        now = self._clock()
        chosen = min(
            found,
            key=lambda replica: (
                replica in tried,
                not replica.circuits.takes(model),
                replica.doubted(model, now),
                len(replica.under_way),
                replica.turn,
            ),
        )
        self._turns += 1
        chosen.turn = self._turns
        return chosen

    def left(self, model: str, among: Collection[Replica], tried: Collection[Replica]) -> bool:
        """Whether a server that was not tried takes calls; of `among`, of all where that is empty."""
        return any(replica not in tried and replica.circuits.takes(model) for replica in among or self.all)

    def check(self, model: str) -> None:
        """Raises `BackendUnavailable` where no server would take a call for `model` now."""
        refusal: BackendUnavailable | None = None
        for replica in self.all:
            try:
                replica.circuits.check(model)
            except BackendUnavailable as error:
                refusal = refusal or error
            else:
                return
        if refusal is not None:
            raise refusal

    def trusted(self) -> Sequence[Replica]:
        """Those that are not in doubt; all where each is."""
        now = self._clock()
        return [replica for replica in self.all if not replica.doubted("", now)] or list(self.all)

    def holding(self, model: str, version: str, contract: object) -> Sequence[Replica]:
        """Those that told of just this version of a model."""
        held = []
        for replica in self.all:
            entry = replica.catalogue.entries.get(model) if replica.catalogue else None
            if entry and entry.info.servable and entry.contract == contract and version in entry.info.versions:
                held.append(replica)
        return held

    def answered(self, replica: Replica, model: str) -> None:
        """It is there, and, with a name, answered for that model."""
        replica.failing.pop(model, None)
        if replica.away_until is not None:
            replica.away_until = None
            self._changed()

    def failing(self, replica: Replica, model: str) -> None:
        """It failed to run a model, or did not answer for it in time, which concerns no other."""
        replica.failing[model] = self._clock() + _DOUBT_S

    def away(self, replica: Replica) -> None:
        """It could not be reached, or did not answer what takes no time. Calls that it works on are ended where another
        server is well, since it may hang: to their callers it is as if it were gone.
        """
        before, replica.away_until = replica.away_until, self._clock() + _DOUBT_S
        if before is None:
            self._changed()
        if any(other.away_until is None for other in self.all):
            for call in replica.under_way:
                call.cancel()

    async def close(self) -> None:
        """Close every connection."""
        self.closed = True
        if self._looking is not None:
            self._looking.cancel()
        replicas, self.all, self._leaving = [*self.all, *self._leaving], [], []
        for replica in replicas:
            await replica.close()

    async def _look_up(self) -> None:
        try:
            await self._addresses.look_up()
            self._follow()
            # Who leaves a name is being shut down, not dead: calls under way there may end.
            idle = [replica for replica in self._leaving if not replica.under_way]
            self._leaving = [replica for replica in self._leaving if replica.under_way]
            for replica in idle:
                await replica.close()
        finally:
            self._looked_up_at = self._clock()
            self._looking = None

    def _follow(self) -> None:
        """Take over what the addresses stand for now."""
        before = {replica.endpoint: replica for replica in self.all}
        endpoints = self._addresses.known()
        if [*before] == endpoints:
            return
        self.all = [before[endpoint] if endpoint in before else self._made(endpoint) for endpoint in endpoints]
        self._leaving += [replica for endpoint, replica in before.items() if endpoint not in endpoints]
        self._changed()
        for target in self._states:
            self._tell(target)

    def _made(self, endpoint: Endpoint) -> Replica:
        circuits, self._spare = self._spare or self._pattern.another(), None
        return Replica(endpoint, circuits, self._credentials)

    def _hear(self, target: str, _state: CircuitState) -> None:
        self._tell(target)

    def _tell(self, target: str) -> None:
        states = {replica.circuits.state(target) for replica in self.all}
        best: CircuitState = next((state for state in _BEST_FIRST if state in states), "closed")
        if self._states.get(target, "closed") != best:
            self._states[target] = best
            self._told(target, best)

    def _changed(self) -> None:
        """Who is left may know other models, and who is back as well."""
        self.news += 1
        away = sum(replica.away_until is not None for replica in self.all)
        self._watch.set_replicas(answering=len(self.all) - away, known=len(self.all))
