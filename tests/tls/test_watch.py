"""The exchange of a certificate: what is taken, what is not, and what is told."""

from datetime import UTC, datetime, timedelta

import pytest
import trustme

from server.errors import ConfigurationError
from server.tls.material import TlsFiles
from server.tls.watch import Certificates
from tests.tls.conftest import Office

LONG_AGO = datetime.now(UTC) - timedelta(days=9)
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


class Told:
    """Telemetry that remembers."""

    def __init__(self):
        self.expiry = 0.0

    def set_certificate_expiry(self, timestamp_s):
        """The gauge."""
        self.expiry = timestamp_s


@pytest.fixture
def certificates(own):
    """Those in use, with `told` and the list of contexts that were `presented`."""
    told = Told()
    made = Certificates(TlsFiles(own.folder / "tls.crt", own.folder / "tls.key"), told)
    made.told = told
    return made


async def test_the_same_files_are_no_news(certificates, own):
    """A signal without a change changes nothing."""
    before = certificates.material
    await certificates.renew()
    assert certificates.material is before


async def test_an_expired_one_does_not_replace_a_valid_one(certificates, own):
    """Nobody would take it."""
    before = certificates.material
    own.issue(not_before=LONG_AGO, not_after=YESTERDAY)
    with pytest.raises(ConfigurationError):
        await certificates.renew()
    assert certificates.material is before
    assert certificates.told.expiry == before.expires.timestamp()


def test_an_expired_one_at_the_start_is_told_loudly(own, caplog):
    """The service starts: its metrics say what is wrong, which one that does not run could not."""
    own.issue(not_before=LONG_AGO, not_after=YESTERDAY)
    told = Told()
    Certificates(TlsFiles(own.folder / "tls.crt", own.folder / "tls.key"), told)
    assert told.expiry == pytest.approx(YESTERDAY.timestamp(), abs=1)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_where_it_cannot_be_presented_the_one_before_stays(certificates, own):
    """As where no file descriptor is left."""
    presented = []

    async def present(context):
        presented.append(context)
        if len(presented) > 1:
            raise OSError(24, "Too many open files")

    await certificates.present_by(present)
    before = certificates.material
    own.issue()
    with pytest.raises(ConfigurationError):
        await certificates.renew()
    assert certificates.material is before


def test_at_the_start_wrong_files_are_an_error(tmp_path):
    """Nothing is served without the encryption that was asked for."""
    office = Office(tmp_path, trustme.CA(), trustme.CA())
    with pytest.raises(ConfigurationError, match=r"tls\.crt"):
        Certificates(TlsFiles(office.folder / "tls.crt", office.folder / "tls.key"), Told())
