"""How the connection to Triton is encrypted."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from server.errors import ConfigurationError


def credentials(ca: str, certificate: str = "", key: str = "") -> grpc.ChannelCredentials | None:
    """Those of a channel that trusts the authorities of the file `ca` and shows `certificate` where it is asked for
    one; None without `ca`. All files are PEM and read once.

    Raises `ConfigurationError`, which names the file: the library of gRPC would say only that Triton does not answer.
    """
    if not ca:
        return None
    authorities = _content(ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(ca)
    except OSError:
        raise ConfigurationError(f"{ca} holds no authorities that Triton could be trusted by") from None
    if not certificate:
        return grpc.ssl_channel_credentials(authorities)
    chain, private = _content(certificate), _content(key)
    try:
        # A key with a passphrase would be asked for at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror
        raise ConfigurationError(f"{certificate} and {key} cannot be shown to Triton: {reason}") from None
    return grpc.ssl_channel_credentials(authorities, private, chain)


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
