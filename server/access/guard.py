"""The door: a credential and what is asked, to a caller or a refusal."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from server.access.caller import CALLER, Caller
from server.access.credentials import Offered
from server.access.keys import PREFIX, KeyRing
from server.access.rates import Quota, Rate, Rates
from server.access.scopes import METRICS_PATH, SCOPES, Rule, rule_of_path
from server.access.tokens import TokenVerifier
from server.errors import CredentialEnded, PermissionDenied, RateLimited, Unauthenticated

_EVERYTHING = frozenset(SCOPES)
_STREAM_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class Grant:
    """Somebody who may ask, and what is left of their rate."""

    caller: Caller
    quota: Quota | None = None


class TooOften(RateLimited):
    """The rate is used up; `quota` says what is left."""

    def __init__(self, quota: Quota) -> None:
        message = f"more than {quota.limit} requests within {quota.window_s:g} s"
        super().__init__(message, retry_after_s=quota.wait_s)
        self.quota = quota


@dataclass(eq=False)
class Lease:
    """One running stream. `ended` is set, with `error`, when its caller's credential no longer holds."""

    caller: Caller
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    error: CredentialEnded | None = None


class Guard:
    """Lets callers in. Without keys, tokens and certificates everybody is, without a name. Used on one event loop.

    `certificate_scopes` are those of who shows a certificate and nothing else, None where none are asked for.
    `keys` may be replaced at any time; `end_leases` then ends the streams of those that are gone. `open_metrics` lets
    everybody read the metrics. `wall` is Unix time, by which credentials expire.
    """

    def __init__(
        self,
        *,
        keys: KeyRing | None = None,
        tokens: TokenVerifier | None = None,
        certificate_scopes: frozenset[str] | None = None,
        open_metrics: bool = False,
        rates: Rates | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.keys = keys
        self.tokens = tokens
        self.certificate_scopes = certificate_scopes
        self.open_metrics = open_metrics
        self._rates = rates or Rates()
        self._wall = wall
        self._leases: set[Lease] = set()
        self._streams: Counter[str] = Counter()

    @property
    def on(self) -> bool:
        """Whether anybody has to say who they are."""
        return self.keys is not None or self.tokens is not None or self.certificate_scopes is not None

    @property
    def leases(self) -> int:
        """Live streams that run."""
        return len(self._leases)

    def rule_of_path(self, path: str) -> Rule | None:
        """What an address of REST needs; None for one that is open."""
        return None if self.open_metrics and path == METRICS_PATH else rule_of_path(path)

    def open_to_all(self, path: str) -> bool:
        """Whether nobody has to say who they are at an address of REST."""
        return not self.on or self.rule_of_path(path) is None

    async def admit(self, offered: Offered, rule: Rule, address: str) -> Grant:
        """Who asks, if they may. `CALLER` is set as soon as that is known, so that a refusal is counted under the name.

        Raises `Unauthenticated`, `PermissionDenied`, `RateLimited`, and `BackendUnavailable` where the keys of tokens
        cannot be had.
        """
        if not self.on:
            caller = Caller(scopes=_EVERYTHING, address=address)
            CALLER.set(caller)
            return Grant(caller)
        if offered.by_certificate and self.certificate_scopes is not None:
            caller, rate = Caller(offered.certificate, self.certificate_scopes, address, "certificate"), Rate()
        else:
            caller, rate = await self._known(offered.single(), address)
        CALLER.set(caller)
        _check_scope(caller.scopes, rule.scopes)
        quota = self._rates.take(caller.tenant, rate)
        if quota is not None and quota.wait_s > 0:
            raise TooOften(quota)
        return Grant(caller, quota)

    @contextmanager
    def lease(self, caller: Caller) -> Iterator[Lease]:
        """The place of one stream among those of its caller. Raises `RateLimited` where all are taken."""
        most = self._rate(caller).streams
        if most and self._streams[caller.tenant] >= most:
            message = f"this caller may hold {most} live stream{'s' * (most > 1)} at a time"
            raise RateLimited(message, retry_after_s=_STREAM_RETRY_S)
        lease = Lease(caller)
        self._leases.add(lease)
        self._streams[caller.tenant] += 1
        try:
            yield lease
        finally:
            self._leases.discard(lease)
            self._streams[caller.tenant] -= 1
            self._streams += Counter()

    def end_leases(self) -> None:
        """End every stream whose credential was revoked or has expired."""
        now = self._wall()
        for lease in self._leases:
            if not lease.ended.is_set() and (reason := self._over(lease.caller, now)):
                lease.error = CredentialEnded(reason, reason="ended", stage="live")
                lease.ended.set()

    def _over(self, caller: Caller, now: float) -> str:
        if caller.expires is not None and now >= caller.expires:
            return "the credential of this stream has expired"
        if caller.kind == "key" and (self.keys is None or not self.keys.holds(caller.credential, now)):
            return "the key of this stream was revoked"
        return ""

    async def _known(self, credential: str, address: str) -> tuple[Caller, Rate]:
        if credential.startswith(PREFIX):
            if self.keys is None:
                raise Unauthenticated("this service takes tokens of its issuer, no keys", reason="unknown-key")
            key = self.keys.recognise(credential, self._wall())
            return Caller(key.name, key.scopes, address, "key", key.id, key.expires), key.rate
        if self.tokens is None:
            raise Unauthenticated("this is no key of this service, which takes no tokens", reason="malformed")
        bearer = await self.tokens.verify(credential)
        rate = self.tokens.policy.rate
        return Caller(bearer.subject, bearer.scopes, address, "token", expires=bearer.expires), rate

    def _rate(self, caller: Caller) -> Rate:
        if caller.kind == "token" and self.tokens is not None:
            return self.tokens.policy.rate
        return self.keys.rate(caller.credential) if caller.kind == "key" and self.keys is not None else Rate()


def _check_scope(given: Collection[str], wanted: Collection[str]) -> None:
    if wanted and not set(given) & set(wanted):
        named = " or ".join(wanted)
        raise PermissionDenied(f"this needs the scope {named}", scope=" ".join(wanted))
