"""The command line under TLS: as a client, and how a service starts that should be encrypted and cannot."""

import json
import os
import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from server.cli import main
from server.tls.material import TlsFiles, read

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "positive.mp4"


@pytest.fixture(scope="module")
def service(office, start_once):
    """One that asks for certificates."""
    tls = office.settings | {"client_ca": str(office.client_ca_file)}
    return start_once(tls=tls, verify=office.client("prober.example").context())


@pytest.fixture
def own(office):
    """The options of a client with a certificate."""
    tls = office.client("camera.example")
    return [
        f"--ca-file={tls.ca_file}",
        f"--client-certificate={tls.certificate_file}",
        f"--client-key={tls.key_file}",
    ]


@pytest.fixture
def glimpse(capsys, monkeypatch):
    """Run a command: its exit status, stdout and stderr."""
    for name in [name for name in os.environ if name.upper().startswith("GLIMPSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GRPC_VERBOSITY", "ERROR")

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return end.value.code or 0, *capsys.readouterr()

    return run


def test_clips_and_models(service, own, glimpse):
    """Over REST."""
    status, out, _ = glimpse("analyze", SAMPLE, "--json", "--url", service.url, *own)
    assert (status, len(json.loads(out)["events"])) == (0, 1)
    status, out, _ = glimpse("models", "--url", service.url, *own)
    assert status == 0
    assert "ststnet" in out


def test_a_live_source(service, own, glimpse):
    """Over gRPC; the files say that it is encrypted, and so does the address."""
    live = ("live", SAMPLE, "--policy", "wait", "--json")
    assert glimpse(*live, "--target", f"grpcs://{service.grpc}", *own)[0] == 0
    assert glimpse(*live, "--target", service.grpc, *own)[0] == 0


def test_a_service_that_is_not_trusted_is_not_asked(service, own, glimpse):
    """By either protocol, with a line that says why."""
    for arguments in (
        ("models", "--url", service.url),
        ("live", SAMPLE, "--target", f"grpcs://{service.grpc}", *own[1:]),
    ):
        status, _, err = glimpse(*arguments)
        assert status == 1
        assert "CERTIFICATE_VERIFY_FAILED" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "--url", "http://127.0.0.1:1"),
        ("models",),
        ("analyze", SAMPLE),
    ],
)
def test_files_for_a_service_that_is_not_encrypted_are_a_mistake(own, glimpse, arguments):
    """Nothing is sent."""
    status, _, err = glimpse(*arguments, *own)
    assert status == 2
    assert "https://" in err


@pytest.mark.parametrize("command", [("models", "--url", "https://127.0.0.1:1"), ("live", SAMPLE)])
def test_a_file_that_is_not_there_is_named(glimpse, command):
    """Before anybody is asked."""
    status, _, err = glimpse(*command, "--ca-file", "absent.pem")
    assert status == 1
    assert "absent.pem" in err


def test_a_service_that_cannot_be_encrypted_does_not_start(office, glimpse, monkeypatch, tmp_path):
    """The file and what is wrong with it are named, what is in it is not."""
    key = tmp_path / "other.key"
    key.write_bytes(office.authority.issue_cert("localhost").private_key_pem.bytes())
    monkeypatch.setenv("GLIMPSE_TLS__CERTIFICATE", office.settings["certificate"])
    monkeypatch.setenv("GLIMPSE_TLS__KEY", str(key))
    # It would outlive the test.
    monkeypatch.setattr("server.telemetry.logging.configure", lambda *_: None)
    status, out, err = glimpse("serve", "--port", 0, "--grpc-port", 0)
    assert status == 1
    assert "other.key (GLIMPSE_TLS__KEY) is not the key of" in err
    assert key.read_text().splitlines()[1] not in out + err
    status, out, err = glimpse("settings")
    assert status == 0
    assert key.read_text().splitlines()[1] not in out + err


_STRICT = """
import asyncio, sys
import server.cli
from server.encryption import certificates_of, prepare_grpc
from server.settings import load
assert "grpc" not in sys.modules
tree = load({}, tls={"certificate": sys.argv[1], "key": sys.argv[2], "minimum_version": "1.3"})
prepare_grpc(tree.tls)
import grpc, socket, ssl
from server.api.grpc.credentials import credentials
from server.telemetry.metrics import Metrics

async def main():
    server = grpc.aio.server()
    certificates = certificates_of(tree.tls, Metrics())
    port = server.add_secure_port("127.0.0.1:0", credentials(certificates))
    await server.start()
    def shake(version):
        context = ssl.create_default_context(cafile=sys.argv[3])
        context.maximum_version = version
        context.set_alpn_protocols(["h2"])
        try:
            with socket.create_connection(("127.0.0.1", port), 10) as plain:
                return context.wrap_socket(plain, server_hostname="localhost").version()
        except OSError:
            return "refused"
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        print(await asyncio.to_thread(shake, version))
    await server.stop(0)

asyncio.run(main())
"""


def test_with_1_3_grpc_speaks_nothing_older(office):
    """Although its library has no option for it, and must be told before it is loaded."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    done = subprocess.run(
        [sys.executable, "-c", _STRICT, office.settings["certificate"], office.settings["key"], str(office.ca_file)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["refused", "TLSv1.3"], done.stderr


def test_with_1_3_rest_speaks_nothing_older(office):
    """As the context says."""
    files = TlsFiles(Path(office.settings["certificate"]), Path(office.settings["key"]))
    assert read(files).context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert read(replace(files, minimum_version="1.3")).context.minimum_version is ssl.TLSVersion.TLSv1_3
