"""Sockets that are bound before anything else is built, so that a taken address is one plain sentence."""

from __future__ import annotations

import socket

from server.errors import ConfigurationError


def bound(host: str, port: int, setting: str) -> socket.socket:
    """A bound socket. Raises `ConfigurationError`, which names `setting`, where the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off, which would cost a request 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with {setting}"
        ) from None
    return listener


def url_of(listener: socket.socket, *, encrypted: bool = False) -> str:
    """The address of a service, as a client on this machine would type it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    scheme = "https" if encrypted else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
