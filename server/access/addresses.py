"""Whether an address leads to this machine alone."""

from __future__ import annotations

import ipaddress
import socket


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`: 127.0.0.0/8, ::1, or a name all of whose addresses are among them."""
    try:
        return _local(host.strip("[]"))
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return bool(found) and all(_local(str(address[0])) for *_, address in found)


def _local(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def peer(address: str) -> str:
    """The host of a peer as gRPC names it, `ipv4:10.0.0.1:5000` or `ipv6:[::1]:5000`, percent-encoded; without port."""
    family, _, rest = address.replace("%5B", "[").replace("%5D", "]").partition(":")
    if family not in {"ipv4", "ipv6"}:
        return family
    return rest.rpartition(":")[0].strip("[]")
