"""Which servers stand behind the address of Triton. Names are looked up again and again, since replicas come and go."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from server.predict.triton_protocol import CHANNEL_OPTIONS, target

_BY_NAME = "dns:///"
_LOOKUP_S = 3.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server: the gRPC target of its channel, and the name that its certificate must have where the target has
    none, `name:port`.
    """

    target: str
    authority: str = ""

    def channel_options(self) -> list[tuple[str, int | str]]:
        """Those of every channel to it."""
        named = [("grpc.default_authority", self.authority)] if self.authority else []
        return [*CHANNEL_OPTIONS, *named]


Lookup: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to numeric addresses. Raises `OSError`."""


async def looked_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, sorted: those of IPv4, or, where it has none, of IPv6. Raises `OSError`.

    A server that has both would otherwise count, and be asked, as two.
    """
    async with asyncio.timeout(_LOOKUP_S):
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    by_family: dict[int, set[str]] = {}
    for family, _, _, _, place in found:
        by_family.setdefault(family, set()).add(str(place[0]))
    return sorted(by_family.get(socket.AF_INET) or by_family.get(socket.AF_INET6) or ())


class Addresses:
    """`address` is `host:port`, or several of them with commas between; any gRPC target may stand for one of them.

    Raises `ConfigurationError` for what is none of these.
    """

    def __init__(self, address: str, *, lookup: Lookup = looked_up) -> None:
        self._parts = [target(part.strip()) for part in address.split(",")]
        self._lookup = lookup
        self._found: dict[str, Sequence[Endpoint]] = {
            part: (fixed,) for part in self._parts if (fixed := _numeric(part)) is not None
        }
        self._names = [part for part in dict.fromkeys(self._parts) if part not in self._found]

    @property
    def fixed(self) -> bool:
        """Whether there is no name to look up."""
        return not self._names

    def known(self) -> Sequence[Endpoint]:
        """What was found so far, each once, in the order of the address."""
        return list(dict.fromkeys(endpoint for part in self._parts for endpoint in self._found.get(part, ())))

    async def look_up(self) -> None:
        """Look all names up. One that is not found keeps what it stood for: a name server that is away moves nobody."""
        await asyncio.gather(*(self._look_up(part) for part in self._names))

    async def _look_up(self, part: str) -> None:
        authority = part.removeprefix(_BY_NAME)
        host, _, port = authority.rpartition(":")
        try:
            places = await self._lookup(host, int(port))
        except OSError as error:
            _log.warning("the name of Triton is not found", extra={"target": authority, "said": str(error)})
            return
        if places:
            self._found[part] = [Endpoint(_target_of(place, port), authority) for place in places]


def _numeric(part: str) -> Endpoint | None:
    """The endpoint of a target that needs no name server of ours."""
    if not part.startswith(_BY_NAME):
        return Endpoint(part)
    host, _, port = part.removeprefix(_BY_NAME).rpartition(":")
    try:
        return Endpoint(_target_of(str(ipaddress.ip_address(host.strip("[]"))), port))
    except ValueError:
        return None


def _target_of(place: str, port: str) -> str:
    return f"ipv6:[{place}]:{port}" if ":" in place else f"ipv4:{place}:{port}"
