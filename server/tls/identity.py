"""Who a client is by its certificate."""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

_LONGEST = 200


@lru_cache(maxsize=1024)
def certificate_name(certificate: bytes) -> str:
    """The name of the holder of a verified `certificate`, DER or PEM: its first URI, else its first DNS name, else its
    common name; where it has none that can be shown, what its SHA-256 begins with. Empty for none.
    """
    if not certificate:
        return ""
    pem = certificate.startswith(b"-----")
    read = x509.load_pem_x509_certificate(certificate) if pem else x509.load_der_x509_certificate(certificate)
    for name in _names(read):
        if 0 < len(name) <= _LONGEST and name.isascii() and name.isprintable() and " " not in name:
            return name
    return f"sha256:{read.fingerprint(SHA256()).hex()[:32]}"


def _names(certificate: x509.Certificate) -> list[str]:
    common = [str(part.value) for part in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return common
    uris: list[str] = names.get_values_for_type(x509.UniformResourceIdentifier)
    return [*uris, *names.get_values_for_type(x509.DNSName), *common]
