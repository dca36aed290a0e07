"""With which credential a service is asked, and that it travels to nobody else."""

from __future__ import annotations

import inspect
import ipaddress
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeAlias
from urllib.parse import urlsplit

import httpx

from client.errors import CredentialError

Secret: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A key or a token, or what gives one: it is asked before every call, so that a token can be renewed in time."""

_LONGEST = 8192


class Credential:
    """One key or token; nothing that is printed of it shows it. `None` for both is no credential.

    Raises `CredentialError` where both are given.
    """

    def __init__(self, *, api_key: Secret | None = None, token: Secret | None = None) -> None:
        if api_key is not None and token is not None:
            raise CredentialError("give a key or a token, not both")
        self._secret = api_key if api_key is not None else token

    def __repr__(self) -> str:
        return f"Credential({'none' if self._secret is None else 'hidden'})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a credential stays in its process")

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return self._secret is not None

    async def metadata(self) -> tuple[tuple[str, str], ...]:
        """The header that says who asks, by its lower-case name; nothing where there is no credential.

        Raises `CredentialError` for what cannot be one; whatever a function raises is raised.
        """
        if self._secret is None:
            return ()
        told = self._secret() if callable(self._secret) else self._secret
        text = await told if inspect.isawaitable(told) else told
        if not isinstance(text, str) or not 0 < len(text) <= _LONGEST or not all("\x21" <= c <= "\x7e" for c in text):
            raise CredentialError(
                f"a credential is a text of 1 to {_LONGEST} letters, digits and signs, without blanks"
            )
        return (("authorization", f"Bearer {text}"),)

    def check_way(self, host: str, *, encrypted: bool, allow_plaintext: bool) -> None:
        """Raise `CredentialError` where the credential would travel to another machine for everybody to read."""
        if self.given and not encrypted and not allow_plaintext and not _is_loopback(host):
            raise CredentialError(
                f"the credential would travel to {host} unencrypted; use TLS, or say allow_plaintext where the network"
                " is yours alone"
            )


class RestCredential(httpx.Auth):
    """A `Credential` in the header of each request to the service, and of those alone."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Add the header."""
        request.headers.update(dict(await self._credential.metadata()))
        yield request


def host_of_url(url: str) -> tuple[str, bool]:
    """The host of an address of REST, and whether the way there is encrypted."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.scheme == "https"


def host_of_target(target: str) -> str:
    """The host of an address of gRPC: `host:port`, `[::1]:port`, or with a resolver before it, `dns:///host:port`. A
    socket of this machine has its name.
    """
    resolver, _, rest = target.partition(":")
    if resolver in {"unix", "unix-abstract"}:
        return "localhost"
    address = (rest if resolver in {"dns", "ipv4", "ipv6"} else target).rpartition("/")[2]
    return address.rpartition(":")[0].strip("[]") or address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
