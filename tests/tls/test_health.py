"""The probe of a container whose service is encrypted."""

from datetime import UTC, datetime, timedelta

import pytest

from server.errors import ConfigurationError
from server.health import LIVE, READY, ask
from server.settings import load


@pytest.fixture(scope="module")
def mutual(office, start_once):
    """A service that asks for certificates, and its settings."""
    tls = office.settings | {"client_ca": str(office.client_ca_file)}
    service = start_once(tls=tls, verify=office.client("prober.example").context())
    return load({}, server={"port": service.address[1]}, tls=tls)


def test_its_certificate_need_not_be_trusted(start, own):
    """Of an authority that nobody knows, for another host, and with dates that are over: the service answers."""
    now = datetime.now(UTC)
    leaf = own.authority.issue_cert("face.example", not_before=now - timedelta(9), not_after=now - timedelta(1))
    own.put(leaf)
    service = start(tls=own.settings, verify=own.trusting())
    tree = load({}, server={"port": service.address[1]}, tls=own.settings)
    for probe in (LIVE, READY):
        assert ask(tree, probe, timeout_s=20).well


def test_who_has_no_certificate_learns_that_it_lives(mutual):
    """That the service refuses is its own answer; whether it is ready is not known, and so said."""
    live = ask(mutual, LIVE, timeout_s=20)
    assert live.well
    assert "the handshake alone" in live.says
    ready = ask(mutual, READY, timeout_s=20)
    assert not ready.well
    assert "--client-certificate" in ready.says


def test_who_has_one_learns_everything(mutual, office):
    """As any client of the authority."""
    tls = office.client("prober.example")
    assert ask(mutual, READY, timeout_s=20, certificate=tls.certificate_file, key=tls.key_file).well


def test_a_foreign_certificate_is_refused(mutual, own):
    """With the reason that the service gives."""
    tls = own.client("prober.example")
    refused = ask(mutual, LIVE, timeout_s=20, certificate=tls.certificate_file, key=tls.key_file)
    assert not refused.well


def test_a_certificate_that_is_not_there_is_named(mutual, tmp_path):
    """Before anybody is asked."""
    absent = tmp_path / "absent.pem"
    with pytest.raises(ConfigurationError, match=r"absent\.pem"):
        ask(mutual, LIVE, timeout_s=1, certificate=absent, key=absent)


def test_a_plain_port_is_not_taken_for_an_encrypted_one(gateway, own):
    """The settings say TLS and the service, started with others, does not speak it."""
    tree = load({}, server={"port": gateway.address[1]}, tls=own.settings)
    assert not ask(tree, LIVE, timeout_s=20).well
