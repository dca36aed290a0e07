"""What a request brings to say who asks, told apart from what it must not bring."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from server.access.keys import FORM, PREFIX
from server.errors import Unauthenticated

SOCKET_PREFIX = "glimpse.key."
"""Before the credential in a subprotocol of WebSocket: the one place of its handshake that a page can fill in."""
_IN_ADDRESS = frozenset({"access_token", "api_key", "apikey", "key", "token", "authorization"})


@dataclass(frozen=True, slots=True)
class Offered:
    """The values of `authorization` and `x-api-key`, and of the subprotocol, in order; whether the address had one; the
    name of the holder of the client's certificate, which was verified when the connection was made, or nothing.
    """

    authorization: Sequence[str] = field(default=(), repr=False)
    api_key: Sequence[str] = field(default=(), repr=False)
    subprotocols: Sequence[str] = field(default=(), repr=False)
    in_address: bool = False
    certificate: str = field(default="", repr=False)

    @property
    def by_certificate(self) -> bool:
        """Whether the certificate alone says who asks."""
        given = self.authorization or self.api_key or self.subprotocols or self.in_address
        return bool(self.certificate) and not given

    @property
    def nothing(self) -> bool:
        """Whether there is none, not even where none may be."""
        return not (self.authorization or self.api_key or self.subprotocols or self.in_address)

    def single(self) -> str:
        """The one credential. Raises `Unauthenticated` where there is none, several, or one in the address."""
        if self.in_address:
            message = "a credential came in the address, which is kept in logs: send it in a header, and make a new one"
            raise Unauthenticated(message, reason="in-address")
        given = [*self.authorization, *self.api_key, *self.subprotocols]
        if not given:
            message = "send an API key or a token: Authorization: Bearer ..., or X-API-Key"
            raise Unauthenticated(message, reason="missing")
        if len(given) > 1:
            raise Unauthenticated("send one credential, not several", reason="several")
        if self.api_key:
            if not self.api_key[0].startswith(PREFIX):
                raise Unauthenticated("X-API-Key takes keys of this service alone", reason="malformed")
            return self.api_key[0]
        if self.subprotocols:
            return self.subprotocols[0].removeprefix(SOCKET_PREFIX)
        scheme, _, credential = self.authorization[0].partition(" ")
        if scheme.lower() != "bearer" or not credential.strip(" "):
            raise Unauthenticated("Authorization takes the scheme Bearer alone", reason="malformed")
        return credential.strip(" ")


def in_address(query: Iterable[tuple[str, str]]) -> bool:
    """Whether the query of an address holds what is, or is called, a credential."""
    return any(name.lower() in _IN_ADDRESS or FORM.search(value) is not None for name, value in query)
