"""How a connection to the service is encrypted: whom it trusts, and who it says it is."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc

from client.errors import CertificateError

File: TypeAlias = str | os.PathLike[str]
SCHEME = "grpcs://"


@dataclass(frozen=True, slots=True)
class Tls:
    """`ca_file` holds the authorities that the service's certificate must be of, PEM; without it those of the machine
    count for REST, and those that gRPC brings for gRPC. `certificate_file` (the chain) and `key_file` are the client's
    own, PEM, where the service asks for one. The service's certificate is always verified.
    """

    ca_file: File | None = None
    certificate_file: File | None = None
    key_file: File | None = None

    def context(self) -> ssl.SSLContext:
        """For REST. Raises `CertificateError`, which names the file."""
        self._check()
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise CertificateError(f"{_name(self.ca_file)} cannot be used: {_reason(error)}") from None
        if self.certificate_file is not None:
            files = f"{_name(self.certificate_file)} and {_name(self.key_file)}"
            try:
                # A key with a passphrase would be asked for at the terminal.
                context.load_cert_chain(self.certificate_file, self.key_file, password="")
            except OSError as error:
                raise CertificateError(f"{files} cannot be used: {_reason(error)}") from None
        return context

    def credentials(self) -> grpc.ChannelCredentials:
        """For gRPC. Raises `CertificateError`, which names the file."""
        # The library of gRPC says of wrong files only, later, that nobody answers.
        self.context()
        return grpc.ssl_channel_credentials(
            *(_content(file) for file in (self.ca_file, self.key_file, self.certificate_file))
        )

    def _check(self) -> None:
        if (self.certificate_file is None) != (self.key_file is None):
            raise CertificateError("a client's certificate and its key go together")


def grpc_target(target: str, tls: Tls | bool) -> tuple[str, Tls | None]:  # noqa: FBT001 - as the caller was given it
    """`host:port` of a target, and how it is encrypted: `grpcs://host:port` and `tls` say that it is."""
    encrypted = target.startswith(SCHEME) or tls is not False
    chosen = tls if isinstance(tls, Tls) else Tls()
    return target.removeprefix(SCHEME), chosen if encrypted else None


def _content(file: File | None) -> bytes | None:
    if file is None:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise CertificateError(f"{_name(file)} cannot be used: {_reason(error)}") from None


def _name(file: File | None) -> str:
    return os.fspath(file) if file is not None else "the machine's list of authorities"


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or type(error).__name__
