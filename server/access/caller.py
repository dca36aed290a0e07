"""Who asks, as every part of the gateway sees it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` is that of the key or the subject of the token, empty where nobody had to say who they are; `scopes` are
    what may be asked; `address` is the network address of the peer, without the port.
    """

    name: str = ""
    scopes: frozenset[str] = frozenset()
    address: str = ""

    @property
    def tenant(self) -> str:
        """With whom this caller shares its part of the service: the same name, or else the same address."""
        return self.name or self.address


CALLER: ContextVar[Caller] = ContextVar("caller", default=Caller())
"""The caller of the request that the running task answers."""
