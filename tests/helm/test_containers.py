"""What the chart starts in containers is understood by what is in them."""

from __future__ import annotations

import os
import re
import runpy
import subprocess

import pytest

from server.predict.triton_install import ensure_installed
from tests.helm.chart import CASES, CHART, case_objects, containers, only, pods

CHECK = CHART / "files" / "health_check.py"


def _ready(running, encryption="plain"):
    host, port = running.address
    check = runpy.run_path(str(CHECK))["ready"]
    return check(host, str(port), running.grpc.rpartition(":")[2], encryption)


@pytest.fixture(scope="module")
def gateway(start_once):
    """A service for both tests that ask one."""
    return start_once()


def test_the_test_pod_finds_a_service_ready(gateway, capsys):
    """The script of `helm test` passes where both ports say that the service is ready."""
    assert _ready(gateway)
    assert "SERVING" in capsys.readouterr().out


def test_the_test_pod_finds_a_service_not_ready(gateway, capsys, monkeypatch):
    """It fails where the service says that it cannot answer now."""
    from server.pipeline.base import Readiness

    monkeypatch.setattr(gateway.analyzer, "ready", Readiness(ready=False, reasons=("no model",)))
    assert not _ready(gateway)
    assert "503" in capsys.readouterr().out


def test_the_pod_runs_that_script():
    """The argument of the pod is the file, with the names and ports of the Service."""
    (container,) = only(case_objects("local"), "Pod")["spec"]["containers"]
    script, *arguments = container["args"]
    assert script.strip() == CHECK.read_text(encoding="utf-8").strip()
    assert arguments == ["demo-glimpse", "8080", "8081", "plain"]
    assert only(case_objects("restricted"), "Pod")["spec"]["containers"][0]["args"][-1] == "tls"
    assert only(case_objects("mutual"), "Pod")["spec"]["containers"][0]["args"][-1] == "mutual"


def test_the_real_triton_knows_every_flag(triton_server_factory, pytestconfig):
    """Each option that any case gives to Triton is in the help of the real one."""
    installation = ensure_installed(pytestconfig.rootpath / ".triton")
    libraries = os.pathsep.join(str(folder) for folder in installation.libraries)
    asked = subprocess.run(
        [installation.binary, "--help"], env={**os.environ, "LD_LIBRARY_PATH": libraries},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    known = set(re.findall(r"--[a-z0-9\-]+", asked.stdout + asked.stderr))
    given = {
        argument.partition("=")[0]
        for name in CASES
        for _, pod in pods(case_objects(name))
        for each in containers(pod)
        if each["name"] == "triton"
        for argument in each["args"]
    }
    assert len(given) > 5
    assert given <= known
