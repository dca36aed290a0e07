"""The files of a certificate, read and checked as a whole, with messages that name the file and what is wrong."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from server.errors import ConfigurationError

ClientMode = Literal["required", "optional"]
CERTIFICATE, KEY, CLIENT_CA = "GLIMPSE_TLS__CERTIFICATE", "GLIMPSE_TLS__KEY", "GLIMPSE_TLS__CLIENT_CA"
# Those that the library of gRPC speaks under TLS 1.2 as well: forward secret and authenticated.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_CURVES = {"secp256r1", "secp384r1", "secp521r1"}
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where they are, and how they are used. `client_ca` is None where clients are not asked for a certificate."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_mode: ClientMode = "required"
    minimum_version: Literal["1.2", "1.3"] = "1.2"

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.certificate, self.key, *((self.client_ca,) if self.client_ca else ()))


@dataclass(frozen=True)
class Material:
    """One set of files that fit: `chain`, `key` and `client_ca` are PEM, `client_ca` empty where there is none.

    `expires` and `begins` bound the time in which the whole chain is valid; `warnings` are what is odd and no error.
    """

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes
    serial: str
    hosts: tuple[str, ...]
    begins: datetime
    expires: datetime
    context: ssl.SSLContext = field(repr=False, compare=False)
    warnings: tuple[str, ...] = field(compare=False)

    def valid_at(self, moment: datetime) -> bool:
        """Whether every certificate of the chain is, by its dates."""
        return self.begins <= moment < self.expires


def read(files: TlsFiles) -> Material:
    """The material of `files`. Raises `ConfigurationError`, which names the file and never what is in it."""
    chain = _content(files.certificate, CERTIFICATE)
    key = _content(files.key, KEY)
    authorities = _content(files.client_ca, CLIENT_CA) if files.client_ca else b""
    certificates = _certificates(chain, files.certificate, CERTIFICATE)
    _check_key(key, files, certificates[0])
    trusted = _certificates(authorities, files.client_ca, CLIENT_CA) if files.client_ca else []
    context = _context(files, trusted)
    if _content(files.certificate, CERTIFICATE) != chain or _content(files.key, KEY) != key:
        raise ConfigurationError(f"{files.certificate} or {files.key} changed while they were read")
    return Material(
        chain=_pem(certificates),
        key=key,
        client_ca=_pem(trusted),
        serial=f"{certificates[0].serial_number:x}",
        hosts=_hosts(certificates[0]),
        begins=max(each.not_valid_before_utc for each in certificates),
        expires=min(each.not_valid_after_utc for each in certificates),
        context=context,
        warnings=tuple(_warnings(files, certificates[0])),
    )


def _content(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} ({setting}) cannot be read: {error.strerror}") from None


def _certificates(pem: bytes, path: Path, setting: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ConfigurationError(f"{path} ({setting}) holds no certificate in PEM form, or a broken one") from None


def _check_key(pem: bytes, files: TlsFiles, certificate: x509.Certificate) -> None:
    place = f"{files.key} ({KEY})"
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        raise ConfigurationError(
            f"{place} is encrypted, and nobody is there to be asked for its passphrase: store it without one, readable"
            " by the service alone"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{place} holds no private key in PEM form, or a broken one") from None
    elliptic = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES
    if not elliptic and not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigurationError(f"{place} is of a kind that gRPC does not take: use RSA, or ECDSA on a curve of NIST")
    public = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*public) != certificate.public_key().public_bytes(*public):
        raise ConfigurationError(f"{place} is not the key of {files.certificate} ({CERTIFICATE})")


def _context(files: TlsFiles, trusted: Sequence[x509.Certificate]) -> ssl.SSLContext:
    """A context of its own for each set: tickets of the one before, and whom it trusted, end with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[files.minimum_version]
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # A key that turned out encrypted would be asked for at the terminal.
        context.load_cert_chain(files.certificate, files.key, password="")
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror or "it is not accepted"
        raise ConfigurationError(f"{files.certificate} ({CERTIFICATE}) cannot be used: {reason}") from None
    if trusted:
        context.verify_mode = ssl.CERT_REQUIRED if files.client_mode == "required" else ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=_pem(trusted).decode("ascii"))
    return context


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def _hosts(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    addresses = names.get_values_for_type(x509.IPAddress)
    return (*names.get_values_for_type(x509.DNSName), *(str(address) for address in addresses))


def _warnings(files: TlsFiles, certificate: x509.Certificate) -> list[str]:
    found = []
    if files.key.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        found.append(f"{files.key} ({KEY}) is open to every user of this machine; take their rights away (chmod 0600)")
    if not _hosts(certificate):
        found.append(f"{files.certificate} ({CERTIFICATE}) names no host as subjectAltName; clients will refuse it")
    return found
