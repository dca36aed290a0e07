"""The probe of a container, against services on real sockets."""

import http.server
import threading

import pytest

from server.cli import main
from server.errors import ConfigurationError
from server.health import LIVE, READY, ask
from server.pipeline.base import Readiness
from server.settings import load


def settings_of(service, **groups):
    """Those that a container of this service would have."""
    return load({}, server={"host": "0.0.0.0", "port": service.address[1]}, **groups)


@pytest.fixture
def glimpse(capsys, monkeypatch):
    """Run `glimpse health` with the settings of a service: its exit status and stderr."""

    def run(port, *arguments):
        monkeypatch.setenv("GLIMPSE_SERVER__PORT", str(port))
        with pytest.raises(SystemExit) as end:
            main(["health", *arguments])
        out, err = capsys.readouterr()
        assert out == ""
        return end.value.code or 0, err

    return run


def test_a_service_that_is_well(gateway):
    """Lives and is ready; it is asked over loopback though it listens everywhere."""
    for probe in (LIVE, READY):
        assert ask(settings_of(gateway), probe, timeout_s=20).well


def test_a_service_that_waits_for_its_backend(start, fake_analyzer, glimpse):
    """It lives, so that nobody restarts it, and is not ready, with the reasons."""
    service = start(fake_analyzer(ready=Readiness(ready=False, reasons=("Triton does not answer",))))
    assert glimpse(service.address[1]) == (0, "")
    status, err = glimpse(service.address[1], "--ready")
    assert (status, err) == (1, "glimpse: /readyz answers 503: Triton does not answer\n")


def test_nobody_listens(glimpse):
    """One line, and status 1."""
    status, err = glimpse(9)
    assert status == 1
    assert err.startswith("glimpse: 127.0.0.1:9 does not answer: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("answer", [b"HTTP/1.1 500 x\r\ncontent-length: 1\r\n\r\n[", b"220 mail.example\r\n", b""])
def test_somebody_else_listens(answer, glimpse):
    """What does not answer as the service does is not well, whatever it says."""

    class Other(http.server.BaseHTTPRequestHandler):
        def handle(self):
            self.request.recv(4096)
            self.request.sendall(answer)

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
        thread = threading.Thread(target=other.handle_request)
        thread.start()
        status, err = glimpse(other.server_port)
        thread.join()
    assert status == 1
    assert len(err.splitlines()) == 1


def test_a_port_that_is_only_known_to_the_service():
    """Port 0 is one that nobody can ask."""
    with pytest.raises(ConfigurationError, match="GLIMPSE_SERVER__PORT is 0"):
        ask(load({}, server={"port": 0}), LIVE, timeout_s=1)


def test_a_certificate_without_its_key_is_a_mistake(glimpse):
    """Status 2, as for every option that is wrong."""
    assert glimpse(9, "--client-certificate", "client.crt")[0] == 2
