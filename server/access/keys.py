"""API keys: their form, how they are kept, and how one is recognised.

A key is `glimpse_<id>_<secret><checksum>`: 12 characters that name it, 43 that hold 256 random bits, and 6 of a CRC-32,
all letters and digits. The id finds the entry in the file, the prefix and the checksum let scanners of repositories and
logs find keys that have leaked, without asking anybody.

Only the SHA-256 of a key is kept. A slow, salted hash protects what people choose, which can be guessed; 256 random
bits cannot, so a fast one serves, and a flood of wrong keys costs little.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from server.access.rates import Rate
from server.errors import Unauthenticated

PREFIX = "glimpse_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID, _SECRET, _CHECK = 12, 43, 6
FORM = re.compile(rf"glimpse_([0-9A-Za-z]{{{_ID}}})_[0-9A-Za-z]{{{_SECRET + _CHECK}}}")
"""What a scanner looks for."""

_NOBODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of the file: who, what for, how often, until when (Unix, s). `sha256` is that of the whole key."""

    id: str
    name: str
    sha256: str = field(repr=False)
    scopes: frozenset[str]
    rate: Rate = field(default_factory=Rate)
    expires: float | None = None


class KeyRing:
    """All keys. Ids are unique, and so are names."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._by_id = {key.id: key for key in keys}

    def __len__(self) -> int:
        return len(self._by_id)

    def holds(self, key_id: str, now: float) -> bool:
        """Whether a key with this id may be used at `now` (Unix, s)."""
        key = self._by_id.get(key_id)
        return key is not None and not _expired(key, now)

    def any_holds(self, now: float) -> bool:
        """Whether there is a key that may be used at `now` (Unix, s)."""
        return any(not _expired(key, now) for key in self._by_id.values())

    def rate(self, key_id: str) -> Rate:
        """The rate of a key; that of one which is gone bounds nothing."""
        key = self._by_id.get(key_id)
        return key.rate if key is not None else Rate()

    def recognise(self, text: str, now: float) -> Key:
        """The entry of a key. Raises `Unauthenticated`.

        A digest is compared, in constant time, whether or not there is such an id, and both failures read the same.
        """
        match = FORM.fullmatch(text)
        if match is None or not well_formed(text):
            raise Unauthenticated("this is no key of this service, or a part of it is missing", reason="malformed")
        key = self._by_id.get(match[1])
        same = hmac.compare_digest(digest(text), key.sha256 if key is not None else _NOBODY)
        if key is None or not same:
            raise Unauthenticated("no such key, or it was revoked", reason="unknown-key")
        if _expired(key, now):
            raise Unauthenticated("the key has expired", reason="expired")
        return key


def _expired(key: Key, now: float) -> bool:
    return key.expires is not None and now >= key.expires


def new_key() -> tuple[str, str]:
    """A key that nobody has, and its id."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(_ID))
    body = f"{PREFIX}{key_id}_{_base62(secrets.randbits(256), _SECRET)}"
    return body + _checksum(body), key_id


def digest(key: str) -> str:
    """What is kept of a key: 64 hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def well_formed(key: str) -> bool:
    """Whether the checksum of a key is right; tells nothing of whether anybody has issued it."""
    return key.isascii() and _checksum(key[:-_CHECK]) == key[-_CHECK:]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
