"""Files of certificates that are wrong, each in its own way."""

import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from server.errors import ConfigurationError
from server.tls.material import TlsFiles, read
from tests.tls.conftest import Office


@pytest.fixture
def files(office):
    """The good ones."""
    return TlsFiles(Path(office.settings["certificate"]), Path(office.settings["key"]), office.client_ca_file)


def written(folder, content):
    """A file with that content."""
    path = folder / "wrong.pem"
    path.write_bytes(content)
    return path


def pem(key, encryption=NoEncryption()):  # noqa: B008 - a constant
    """A private key as a file holds it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def test_what_is_good_is_read(office, files):
    """Serial number, hosts, dates; the key is not shown by its representation."""
    serial = office.issue()
    material = read(files)
    assert material.serial == f"{serial:x}"
    assert material.hosts == ("localhost", "127.0.0.1")
    assert material.valid_at(datetime.now(UTC))
    assert material.warnings == ()
    assert "PRIVATE" not in repr(material)


@pytest.mark.parametrize(
    ("field", "setting"), [("certificate", "CERTIFICATE"), ("key", "KEY"), ("client_ca", "CLIENT_CA")]
)
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"])
def test_a_file_that_is_missing_or_broken_is_named(files, tmp_path, field, setting, content):
    """With its setting."""
    path = tmp_path / "absent.pem" if content is None else written(tmp_path, content)
    with pytest.raises(ConfigurationError, match=rf"{path} \(GLIMPSE_TLS__{setting}\)"):
        read(replace(files, **{field: path}))


@pytest.mark.parametrize("kind", ["other", "encrypted", "ed25519"])
def test_a_key_that_cannot_be_used_is_named_and_not_shown(files, office, tmp_path, kind):
    """Of another certificate, with a passphrase that nobody could type, or of a kind that gRPC refuses."""
    expected = {
        "other": "is not the key of",
        "encrypted": "is encrypted",
        "ed25519": "use RSA, or ECDSA",
    }
    own = load_pem_private_key(files.key.read_bytes(), None)
    content = {
        "other": office.authority.issue_cert("localhost").private_key_pem.bytes,
        "encrypted": lambda: pem(own, BestAvailableEncryption(b"passphrase")),
        "ed25519": lambda: pem(ed25519.Ed25519PrivateKey.generate()),
    }[kind]()
    with pytest.raises(ConfigurationError, match=expected[kind]) as error:
        read(replace(files, key=written(tmp_path, content)))
    assert content.decode().splitlines()[1] not in error.value.message
    assert "passphrase" not in error.value.message.replace("for its passphrase", "")


def test_a_key_that_others_may_read_is_warned_of(files):
    """It is used all the same: in a container that is how secrets are often mounted."""
    files.key.chmod(0o644)
    [warning] = read(files).warnings
    assert "tls.key" in warning
    files.key.chmod(stat.S_IRUSR)
    assert read(files).warnings == ()


def test_a_certificate_without_a_host_is_warned_of(tmp_path):
    """No client of today takes it for anybody."""
    office = Office(tmp_path, trustme.CA(), trustme.CA())
    office.put(office.authority.issue_cert("someone@lab.example"))
    [warning] = read(TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key")).warnings
    assert "names no host" in warning


def test_dates_are_those_of_the_whole_chain(tmp_path):
    """A chain is valid no longer than its shortest."""
    office = Office(tmp_path, trustme.CA(), trustme.CA())
    soon = datetime.now(UTC) + timedelta(days=3)
    office.issue(not_after=soon)
    material = read(TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key"))
    assert abs(material.expires - soon) < timedelta(seconds=2)
    assert not material.valid_at(soon + timedelta(seconds=2))
