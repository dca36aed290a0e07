"""The tutorials that train, export and start a Triton are done as they are written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from server.errors import ConfigurationError
from server.predict.triton_install import ensure_installed
from tests.docs.reader import ROOT, Reader
from tests.helm.chart import objects

TUTORIALS = ROOT / "docs" / "tutorials"
pytestmark = pytest.mark.ops


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody with a folder of his own, and services that need little."""
    one = Reader(tmp_path, OMP_NUM_THREADS="1", GLIMPSE_WORKERS__COUNT="1", GLIMPSE_WORKERS__SPARE="0")
    yield one
    one.close()


def test_a_model_of_ones_own(reader: Reader) -> None:
    """Made, trained, published, checked, measured, served, asked, replaced and brought back."""
    assert reader.read(TUTORIALS / "model.md") == 8
    assert {path.name for path in (reader.folder / "model_repository" / "mine").glob("[0-9]")} == {"1", "2"}


def test_a_server(reader: Reader) -> None:
    """Keys, TLS and a real Triton hold together; the chart takes the values and makes of them what the text says."""
    for program in ("openssl", "curl"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    try:
        ensure_installed(ROOT / ".triton")
    except ConfigurationError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must run the real Triton: {error}")
        pytest.skip(f"the real Triton cannot run here: {error}")
    assert reader.read(TUTORIALS / "server.md") == 9
    made = objects(yaml.safe_load((reader.folder / "values.yaml").read_text(encoding="utf-8")))
    deployments = [each["metadata"]["name"] for each in made if each["kind"] == "Deployment"]
    assert len(deployments) == 2
    [gateway] = [each for each in made if each["kind"] == "Deployment" and "triton" not in each["metadata"]["name"]]
    secrets = {volume.get("secret", {}).get("secretName") for volume in gateway["spec"]["template"]["spec"]["volumes"]}
    assert {"glimpse-keys", "glimpse-tls"} <= secrets
