"""The public keys of whoever issues tokens: a JSON Web Key Set (RFC 7517) from a file or over https."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from server.errors import BackendUnavailable, ConfigurationError, Unauthenticated

MOST_BYTES = 1 << 20
_MOST_KEYS = 64
_LEAST_RSA_BITS = 2048
_CURVES = {"EC": {"P-256"}, "OKP": {"Ed25519"}}

Fetch = Callable[[], Awaitable[bytes]]

_log = logging.getLogger(__name__)


def parsed(document: bytes, algorithms: Collection[str]) -> Mapping[str | None, jwt.PyJWK]:
    """The keys of a set by their `kid`, those alone that verify one of `algorithms`.

    Raises `ConfigurationError` where it is no set, or none of its keys serves.
    """
    try:
        listed = json.loads(document)["keys"]
        found = {key.key_id: key for key in map(_usable, listed[:_MOST_KEYS]) if key is not None}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigurationError("it is no JSON Web Key Set") from None
    served = {kid: key for kid, key in found.items() if key.algorithm_name in algorithms}
    if not served:
        raise ConfigurationError(f"none of its keys is for signatures by {', '.join(algorithms)}")
    return served


def _usable(entry: Any) -> jwt.PyJWK | None:
    """Whatever is not the public half of a strong key for signatures is passed over, as the standard asks."""
    kind = entry.get("kty") if isinstance(entry, dict) else None
    if kind not in {"RSA", "EC", "OKP"} or "d" in entry or entry.get("use", "sig") != "sig":
        return None
    if kind in _CURVES and entry.get("crv") not in _CURVES[kind]:
        return None
    try:
        key = jwt.PyJWK(entry)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    weak = isinstance(key.key, RSAPublicKey) and key.key.key_size < _LEAST_RSA_BITS
    return None if weak else key


class KeySet:
    """The keys of one issuer, fetched when they are needed.

    They are asked for anew, beside the requests, once they are older than `fresh_s`; while nobody answers, the old ones
    serve for `stale_s`. A key that is not known is asked for at once, since issuers change theirs, but nothing is asked
    for more often than every `pause_s`: tokens of strangers could name a new one each time.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        algorithms: Collection[str],
        fresh_s: float,
        stale_s: float,
        pause_s: float,
        clock: Callable[[], float] = time.monotonic,
        on_fetched: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._fetch = fetch
        self._algorithms = tuple(algorithms)
        self._fresh_s = fresh_s
        self._stale_s = stale_s
        self._pause_s = pause_s
        self._clock = clock
        self._on_fetched = on_fetched
        self._keys: Mapping[str | None, jwt.PyJWK] = {}
        self._fetched = self._asked = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None) -> jwt.PyJWK:
        """The key of a token. Without `kid` it is that of a set of one.

        Raises `Unauthenticated` for one that the issuer does not have, `BackendUnavailable` where nobody says.
        """
        age_s = self._clock() - self._fetched
        if age_s > self._fresh_s and self._may_ask():
            refreshing = self._refresh()
            if age_s > self._stale_s:
                await refreshing
        known = self._known(kid)
        if known is None and self._may_ask():
            await self._refresh()
            known = self._known(kid)
        if known is not None:
            return known
        if self._clock() - self._fetched > self._stale_s:
            message = "the keys of the issuer of tokens cannot be had at the moment"
            raise BackendUnavailable(message, stage="access", retry_after_s=self._pause_s)
        raise Unauthenticated("the token names no key of the issuer", reason="unknown-kid")

    async def reload(self) -> None:
        """Fetch now. Raises `ConfigurationError`; the old keys serve on."""
        try:
            document = await self._fetch()
            self._keys = parsed(document, self._algorithms)
        finally:
            self._asked = self._clock()
        self._fetched = self._clock()

    def _known(self, kid: str | None) -> jwt.PyJWK | None:
        if self._clock() - self._fetched > self._stale_s:
            return None
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid) if kid is not None else None

    def _may_ask(self) -> bool:
        return self._fetching is not None or self._clock() - self._asked >= self._pause_s

    def _refresh(self) -> asyncio.Future[None]:
        """One fetch for all who wait for it, which goes on when they leave."""
        if self._fetching is None:
            self._asked = self._clock()
            self._fetching = asyncio.get_running_loop().create_task(self._try())
        return asyncio.shield(self._fetching)

    async def _try(self) -> None:
        try:
            await self.reload()
            self._on_fetched(True)  # noqa: FBT003 - the only thing there is to say
        except ConfigurationError as error:
            _log.warning("the keys of the issuer of tokens were not renewed", extra={"reason": error.message})
            self._on_fetched(False)  # noqa: FBT003 - likewise
        finally:
            self._fetching = None


def from_file(path: Path) -> Fetch:
    """Reads a set. What it returns raises `ConfigurationError`."""

    def read() -> bytes:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)

    async def fetch() -> bytes:
        try:
            content = await asyncio.to_thread(read)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        return _bounded(content)

    return fetch


def from_url(url: str, timeout_s: float) -> Fetch:
    """Asks for a set, over a connection of its own, without following redirects. What it returns raises
    `ConfigurationError`.
    """

    async def fetch() -> bytes:
        content = bytearray()
        try:
            async with (
                asyncio.timeout(timeout_s),
                httpx.AsyncClient(timeout=timeout_s, follow_redirects=False) as client,
                client.stream("GET", url, headers={"Accept": "application/json"}) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    raise ConfigurationError(f"{url} answers with HTTP {answer.status_code}")
                async for piece in answer.aiter_bytes():
                    content += piece
                    _bounded(content)
        except TimeoutError:
            raise ConfigurationError(f"{url} did not answer within {timeout_s:g} s") from None
        except httpx.HTTPError as error:
            raise ConfigurationError(f"{url} does not answer: {type(error).__name__}") from None
        return bytes(content)

    return fetch


def _bounded(content: bytes | bytearray) -> bytes:
    if len(content) > MOST_BYTES:
        raise ConfigurationError(f"the set of keys is larger than {MOST_BYTES} bytes")
    return bytes(content)
