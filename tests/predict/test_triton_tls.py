"""An encrypted connection to the real Triton, which asks for a certificate in turn."""

import shutil
import threading
import time

import httpx
import pytest
import trustme

from server.errors import BackendUnavailable, ConfigurationError
from server.predict.triton import Retry, TritonPredictor
from server.predict.triton_tls import credentials
from server.predict.tritonserver import TritonServer
from tests.tls.conftest import chain


class EncryptedTriton(TritonServer):
    """Speaks gRPC under TLS alone, to those who show a certificate of its authority."""

    folder = None

    def _arguments(self, backends):
        files = {name: self.folder / f"triton.{name}" for name in ("crt", "key", "ca")}
        encryption = {
            "grpc-use-ssl": 1,
            "grpc-use-ssl-mutual": 1,
            "grpc-server-cert": files["crt"],
            "grpc-server-key": files["key"],
            "grpc-root-cert": files["ca"],
        }
        return [*super()._arguments(backends), *(f"--{name}={value}" for name, value in encryption.items())]

    def _wait_until_ready(self):
        ends = time.monotonic() + 60
        while True:
            try:
                if httpx.get(f"http://{self.http_address}/v2/health/ready", trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                assert time.monotonic() < ends, self.log_tail()
            threading.Event().wait(0.05)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With the files of Triton, of its client and of somebody else."""
    made = tmp_path_factory.mktemp("triton-tls")
    authority, other = trustme.CA(), trustme.CA()
    for name, leaf in (
        ("triton", authority.issue_cert("127.0.0.1", "localhost")),
        ("client", authority.issue_cert("gateway.example")),
        ("other", other.issue_cert("gateway.example")),
    ):
        (made / f"{name}.crt").write_bytes(chain(leaf))
        (made / f"{name}.key").write_bytes(leaf.private_key_pem.bytes())
    (made / "triton.ca").write_bytes(authority.cert_pem.bytes())
    (made / "other.ca").write_bytes(other.cert_pem.bytes())
    return made


@pytest.fixture(scope="module")
def server(folder, triton_server_factory, zoo, tmp_path_factory, pytestconfig):
    """One with the tiny model; skipped as all tests of the real Triton are."""
    assert triton_server_factory
    repository = tmp_path_factory.mktemp("repository")
    shutil.copytree(zoo / "tiny", repository / "tiny")
    running = EncryptedTriton(repository, home=pytestconfig.rootpath / ".triton")
    running.folder = folder
    with running:
        yield running


@pytest.fixture
async def connect(server, tiny):
    """Makes predictors and closes them."""
    made = []

    def make(encryption, host="127.0.0.1"):
        made.append(
            TritonPredictor(
                server.grpc_address.replace("127.0.0.1", host),
                recipes=[tiny.recipe],
                credentials=encryption,
                retry=Retry(attempts=1),
                control_timeout_s=5.0,
            )
        )
        return made[-1]

    yield make
    for predictor in made:
        await predictor.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_it_infers(connect, folder, tiny, host):
    """Where both show what the other trusts, by number and by a name that was looked up."""
    encryption = credentials(*(str(folder / name) for name in ("triton.ca", "client.crt", "client.key")))
    outputs = await connect(encryption, host).predict("tiny", tiny.batch(2), deadline=time.monotonic() + 30)
    assert outputs["probabilities"].shape == (2, 3)


async def test_a_name_that_the_certificate_does_not_have_is_not_trusted(connect, folder, monkeypatch):
    """Although the server is found under it."""

    async def here(_host, _port):
        return ["127.0.0.1"]

    encryption = credentials(*(str(folder / name) for name in ("triton.ca", "client.crt", "client.key")))
    predictor = connect(encryption, "other.example")
    monkeypatch.setattr(predictor._replicas._addresses, "_lookup", here)
    with pytest.raises(BackendUnavailable):
        await predictor.models()


@pytest.mark.parametrize(
    "files",
    [
        (),
        ("triton.ca",),
        ("triton.ca", "other.crt", "other.key"),
        ("other.ca", "client.crt", "client.key"),
    ],
)
async def test_it_is_not_reached_otherwise(connect, folder, tiny, files):
    """In the open, without a certificate, with a foreign one, or where Triton's is not trusted."""
    encryption = credentials(*(str(folder / name) for name in files)) if files else None
    with pytest.raises(BackendUnavailable):
        await connect(encryption).models()


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        (("absent.ca",), "absent.ca"),
        (("client.key",), "client.key"),
        (("triton.ca", "absent.crt", "client.key"), "absent.crt"),
        (("triton.ca", "client.crt", "other.key"), "other.key"),
    ],
)
def test_files_that_cannot_be_used_are_named(folder, files, wrong):
    """At the start, not at the first request."""
    with pytest.raises(ConfigurationError, match=wrong):
        credentials(*(str(folder / name) for name in files))


def test_without_authorities_nothing_is_encrypted():
    """As it always was."""
    assert credentials("") is None
