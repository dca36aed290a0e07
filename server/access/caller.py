"""Who asks, as every part of the gateway sees it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["anonymous", "key", "token", "certificate"]

ANONYMOUS, TOKEN, CERTIFICATE = "anonymous", "jwt", "certificate"


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is that of the key, the subject of the token or the holder of the certificate, empty where nobody had to
    say who they are; `scopes` are what may be asked; `address` is the network address of the peer, without the port.
    `credential` is the id of the key, `expires` the time (Unix, s) from which the credential no longer holds.
    """

    name: str = field(default="", repr=False)
    scopes: frozenset[str] = frozenset()
    address: str = field(default="", repr=False)
    kind: Kind = "anonymous"
    credential: str = ""
    expires: float | None = None

    @property
    def tenant(self) -> str:
        """With whom this caller shares its part of the service: the same key or subject, or else the same address."""
        return f"{self.kind}:{self.name or self.address}"

    @property
    def label(self) -> str:
        """What logs and metrics call it: the name of a key, which the operator gave; the subject of a token or the
        holder of a certificate may be a person and is not told.
        """
        match self.kind:
            case "key":
                return self.name
            case "token":
                return TOKEN
            case "certificate":
                return CERTIFICATE
            case _:
                return ANONYMOUS


CALLER: ContextVar[Caller] = ContextVar("caller", default=Caller())  # noqa: B039 - it is frozen
"""The caller of the request that the running task answers."""
