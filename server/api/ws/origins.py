"""Which web pages may open a live stream.

A browser lets any page open a WebSocket to any address and sends along whatever it keeps for that address; the rule
that protects answers of `fetch` does not hold here. The server alone can refuse, by the `Origin` that the browser adds.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

ANY = "*"
_DEFAULT_PORTS = {"http": 80, "https": 443}


def admitted(origin: str | None, host: str, allowed: Sequence[str]) -> bool:
    """Whether a page of `origin` may: one of this very `host` (the header of that name), or one that is `allowed`.

    What sends no origin is no browser, and a browser's page cannot leave it out.
    """
    if origin is None or ANY in allowed:
        return True
    origin = origin.lower()
    if origin in (known.lower() for known in allowed):
        return True
    scheme, at, _ = origin.partition("://")
    place = _place(origin, scheme)
    return bool(at) and place is not None and place == _place(f"{scheme}://{host.lower()}", scheme)


def _place(url: str, scheme: str) -> tuple[str, int | None] | None:
    """Host and port; a proxy that ends TLS leaves no trace of the scheme, so the origin's own decides the port."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname else None
