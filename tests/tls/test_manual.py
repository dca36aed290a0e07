"""What docs/tls.md and docs/client.md show works as it is shown."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from client import Client, RestClient, Tls
from server.settings import load, rows
from server.tls.identity import certificate_name

DOCS = Path(__file__).parents[2] / "docs"
MANUAL = (DOCS / "tls.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_the_commands_make_certificates_that_serve(start, tmp_path):
    """From nothing to a service that knows its client."""
    [commands] = re.findall(r"```sh\n(.*?)```", MANUAL, re.DOTALL)
    subprocess.run(["sh", "-ec", commands], cwd=tmp_path, check=True, capture_output=True)
    files = {name: str(tmp_path / f"{name}.{kind}") for name, kind in (("ca", "crt"), ("tls", "crt"))}
    settings = {"certificate": files["tls"], "key": str(tmp_path / "tls.key"), "client_ca": files["ca"]}
    tls = Tls(files["ca"], tmp_path / "client.crt", tmp_path / "client.key")
    service = start(tls=settings, verify=tls.context())
    with RestClient(service.url, tls=tls) as rest, Client(f"grpcs://{service.grpc}", tls=tls) as rpc:
        assert rest.models()
        assert rpc.models()
    assert certificate_name((tmp_path / "client.crt").read_bytes()) == "spiffe://lab/camera-7"


def test_the_example_of_the_client_runs(office, start, monkeypatch, capsys):
    """With the files that it names."""
    [code] = re.findall(r"```python\n([^`]*Tls\([^`]*)```", (DOCS / "client.md").read_text(encoding="utf-8"))
    tls = office.client("camera.example")
    service = start(tls=office.settings | {"client_ca": str(office.client_ca_file)}, verify=tls.context())
    monkeypatch.chdir(office.folder)
    code = code.replace("https://localhost:8080", service.url).replace("localhost:8081", service.grpc)
    exec(compile(code, "docs/client.md, encryption", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_every_setting_is_named():
    """With its default."""
    for row in rows(load({})):
        if row.name.startswith("GLIMPSE_TLS__") or "_TRITON_C" in row.name or "_ALLOWED_" in row.name:
            assert f"`{row.name}`" in MANUAL, row.name
        if row.name.startswith("GLIMPSE_TLS__") and row.default:
            shown = ",".join(row.default) if isinstance(row.default, tuple) else str(row.default).removesuffix(".0")
            assert re.search(rf"`{row.name}` \| `?{re.escape(shown)}`? \|", MANUAL), row.name
