"""Addresses of others in settings: what counts as one, and whether it is this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit


def web_address(value: str) -> SplitResult | None:
    """The parts of an `http` or `https` address that names a host, None for any other text."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    plain = value.isascii() and not any(character.isspace() for character in value)
    return parts if parts.scheme in {"http", "https"} and host and plain else None


def is_loopback(url: str) -> bool:
    """Whether its host is this machine, by number or as `localhost`."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
