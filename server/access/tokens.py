"""Bearer tokens of somebody else's: JSON Web Tokens (RFC 7519), verified with the issuer's public keys alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from server.access.jwks import KeySet
from server.access.rates import Rate
from server.access.scopes import SCOPES
from server.errors import Unauthenticated

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""Those that a private key alone can make; `none`, and what the verifying key could make by itself, are not here."""
MOST_CHARACTERS = 8192
_MOST_SUBJECT = 256


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """Which tokens hold: those of `issuer` for `audience`, whose times are right within `leeway_s`.

    Scopes are in the first of `scope_claims` that is there, a text with blanks or a list, each with `scope_prefix`
    before it. `rate` is that of each subject.
    """

    issuer: str
    audience: str
    leeway_s: float = 30.0
    require_nbf: bool = False
    scope_claims: tuple[str, ...] = ("scope", "scp")
    scope_prefix: str = ""
    rate: Rate = field(default_factory=Rate)


@dataclass(frozen=True, slots=True)
class Bearer:
    """What a token says: whose it is, what for, and until when it is taken (Unix, s)."""

    subject: str
    scopes: frozenset[str]
    expires: float


class TokenVerifier:
    """Verifies tokens by one policy with one set of keys."""

    def __init__(self, policy: TokenPolicy, keys: KeySet) -> None:
        self.policy = policy
        self.keys = keys
        self._required = ["exp", "iss", "aud", "sub", *(["nbf"] if policy.require_nbf else [])]

    async def verify(self, token: str) -> Bearer:
        """Who a token speaks for. Raises `Unauthenticated`, and `BackendUnavailable` where the keys cannot be had."""
        if len(token) > MOST_CHARACTERS:
            raise Unauthenticated(f"the token is longer than {MOST_CHARACTERS} characters", reason="malformed")
        header = _header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise Unauthenticated(f"tokens are signed by {', '.join(ALGORITHMS)} here", reason="algorithm")
        if kid is not None and not isinstance(kid, str):
            raise _malformed()
        key = await self.keys.find(kid)
        if key.algorithm_name != algorithm:
            raise Unauthenticated("the token names a key of another algorithm", reason="algorithm")
        return self._bearer(self._claims(token, key))

    def _claims(self, token: str, key: jwt.PyJWK) -> Mapping[str, Any]:
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                issuer=self.policy.issuer,
                audience=self.policy.audience,
                leeway=self.policy.leeway_s,
                options={"require": self._required},
            )
        except jwt.MissingRequiredClaimError as error:
            raise Unauthenticated(f"the token has no claim {error.claim}", reason="claims") from None
        except jwt.PyJWTError as error:
            reason, message = next((row for kind, row in _REFUSALS.items() if isinstance(error, kind)), _UNREADABLE)
            raise Unauthenticated(message, reason=reason) from None
        except (ValueError, TypeError, OverflowError, RecursionError):
            raise _malformed() from None

    def _bearer(self, claims: Mapping[str, Any]) -> Bearer:
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= _MOST_SUBJECT:
            raise Unauthenticated("the token has no claim sub", reason="claims")
        told = next((claims[name] for name in self.policy.scope_claims if name in claims), "")
        return Bearer(subject, self._scopes(told), float(claims["exp"]) + self.policy.leeway_s)

    def _scopes(self, told: Any) -> frozenset[str]:
        words: Collection[Any] = told.split() if isinstance(told, str) else told if isinstance(told, list) else ()
        prefix = self.policy.scope_prefix
        given = {word.removeprefix(prefix) for word in words if isinstance(word, str) and word.startswith(prefix)}
        return frozenset(given.intersection(SCOPES))


_REFUSALS: Mapping[type[Exception], tuple[str, str]] = {
    jwt.ExpiredSignatureError: ("expired", "the token has expired"),
    jwt.ImmatureSignatureError: ("not-yet-valid", "the token is not valid yet"),
    jwt.InvalidIssuerError: ("issuer", "the token is of another issuer"),
    jwt.InvalidAudienceError: ("audience", "the token is for another audience"),
    jwt.InvalidSignatureError: ("signature", "the signature of the token is wrong"),
}
_UNREADABLE = ("malformed", "this is no token that can be read")


def _header(token: str) -> Mapping[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise _malformed() from None


def _malformed() -> Unauthenticated:
    reason, message = _UNREADABLE
    return Unauthenticated(message, reason=reason)
