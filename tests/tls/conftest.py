"""Certificates on disk, made when they are wanted."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

from client import Tls

HOSTS = ("localhost", "127.0.0.1")


@dataclass
class Office:
    """An authority for the service and one for its clients, with the files of both in `folder`."""

    folder: Path
    authority: trustme.CA
    clients: trustme.CA

    @property
    def ca_file(self) -> Path:
        return self._written("ca.crt", self.authority.cert_pem.bytes())

    @property
    def client_ca_file(self) -> Path:
        return self._written("clients.pem", self.clients.cert_pem.bytes())

    @property
    def settings(self) -> dict[str, str]:
        """The two files of the service, as settings."""
        return {"certificate": str(self.folder / "tls.crt"), "key": str(self.folder / "tls.key")}

    def issue(self, **options: Any) -> int:
        """Put a new certificate for the service in its place; its serial number."""
        leaf = self.authority.issue_cert(*HOSTS, **options)
        self.put(leaf)
        return serial(leaf)

    def put(self, leaf: trustme.LeafCert) -> None:
        self._written("tls.crt", chain(leaf))
        self._written("tls.key", leaf.private_key_pem.bytes()).chmod(0o600)

    def client(self, *names: str, **options: Any) -> Tls:
        """What a client with a certificate for `names` is made with."""
        leaf = self.clients.issue_cert(*names, **options)
        certificate = self._written("client.crt", chain(leaf))
        return Tls(self.ca_file, certificate, self._written("client.key", leaf.private_key_pem.bytes()))

    def trusting(self) -> ssl.SSLContext:
        """What a client without a certificate verifies the service with."""
        return ssl.create_default_context(cadata=self.authority.cert_pem.bytes().decode())

    def _written(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


def chain(leaf: trustme.LeafCert) -> bytes:
    return b"".join(blob.bytes() for blob in leaf.cert_chain_pems)


def serial(leaf: trustme.LeafCert) -> int:
    return load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """With a certificate for the service."""
    made = Office(tmp_path_factory.mktemp("tls"), trustme.CA(), trustme.CA())
    made.issue()
    return made


@pytest.fixture
def own(tmp_path: Path) -> Office:
    """Certificates that only one test changes."""
    made = Office(tmp_path, trustme.CA(), trustme.CA())
    made.issue()
    return made


def ports(service: Any) -> tuple[tuple[str, int], tuple[str, int]]:
    """REST, then gRPC."""
    host, port = service.grpc.split(":")
    return service.address, (host, int(port))


def shown(address: tuple[str, int], context: ssl.SSLContext) -> tuple[int, str | None]:
    """The serial number of the certificate, and the version of TLS, that a new connection sees."""
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(address, 10) as plain, context.wrap_socket(plain, server_hostname="localhost") as tls:
        return load_der_x509_certificate(tls.getpeercert(True)).serial_number, tls.version()


def until(look: Callable[[], object], wanted: object) -> None:
    """Look until it sees what is wanted; a wall clock only ends a test that has failed."""
    ends = time.monotonic() + 20
    while (seen := look()) != wanted:
        assert time.monotonic() < ends, (seen, wanted)


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes, which a reset is as well."""
    connection.settimeout(10)
    content = b""
    try:
        while piece := connection.recv(4096):
            content += piece
    except ConnectionResetError:
        pass
    return content
