"""By which names the service is asked.

A page from anywhere can have its own name point to 127.0.0.1 once it is loaded: to the browser the service's answers
are then the page's own, and no rule about origins holds (DNS rebinding). Only the `Host` header still tells, for it is
the page's name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

ANY = "*"
SETTING = "GLIMPSE_SERVER__ALLOWED_HOSTS"
REFUSAL = f"this service is not known by that name; {SETTING} may hold it"


class Hosts:
    """Those under which the service that listens on `address` may be asked.

    Addresses and localhost always may: no page has such a name. Others must be among `allowed`, where there are any or
    `address` is of this machine alone; elsewhere a service without `allowed` cannot know how it is called.
    """

    def __init__(self, address: str, allowed: Iterable[str]) -> None:
        self._allowed = {name.lower().rstrip(".") for name in allowed}
        self._checked = ANY not in self._allowed and (bool(self._allowed) or _of_this_machine(address))

    def admits(self, host: str | None) -> bool:
        """Whether the `Host` of a request may be. Who sends none is no browser."""
        if not self._checked or host is None:
            return True
        name = name_of(host)
        return name is not None and (_literal(name) or name in self._allowed)


def name_of(host: str) -> str | None:
    """The name or address in a `Host` header, without its port, in lower case; None for what cannot be one."""
    if set(host) & set("/?#@\\"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return (parts.hostname or "").rstrip(".") or None


def _literal(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _of_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return name_of(address) == "localhost"
