"""Who a client is by its certificate."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from server.tls.identity import certificate_name


def made(common, *names):
    """A certificate for these names, DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])
    start = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 7, start, start + timedelta(days=1))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, SHA256()).public_bytes(Encoding.DER)


URI, DNS = x509.UniformResourceIdentifier, x509.DNSName


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        (made("cn", DNS("a.example"), URI("spiffe://lab/camera")), "spiffe://lab/camera"),
        (made("cn", DNS("a.example"), DNS("b.example")), "a.example"),
        (made("camera-7"), "camera-7"),
        (made("two words", DNS("a.example")), "a.example"),
        (b"", ""),
    ],
)
def test_the_most_precise_name_counts(certificate, name):
    """URI, then DNS, then common name."""
    assert certificate_name(certificate) == name


@pytest.mark.parametrize("certificate", [made(""), made("a\nb"), made("two words"), made("ü"), made("cn\x00.evil")])
def test_a_name_that_cannot_be_shown_is_no_name(certificate):
    """The digest stands for it, so that its holder is still told apart from others."""
    name = certificate_name(certificate)
    assert name.startswith("sha256:")
    assert len(name) == len("sha256:") + 32


def test_a_name_that_is_too_long_is_passed_over():
    """The next one counts."""
    assert certificate_name(made("camera-7", URI("u:" + "x" * 300))) == "camera-7"


def test_both_forms_are_one():
    """REST hands over DER, gRPC PEM."""
    pem = trustme.CA().issue_cert("a.example").cert_chain_pems[0].bytes()
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    assert certificate_name(pem) == certificate_name(der) == "a.example"
