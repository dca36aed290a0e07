"""The images as they are built, and the gateway as it runs: another user, a read-only root, no capabilities."""

import json
import os
import re
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from server import __version__
from tests.ops.conftest import ROOT, SOURCE, done

pytestmark = pytest.mark.ops

BASE = "docker.io/library/python:3.11-slim-bookworm"
SAMPLE = ROOT / "samples" / "positive.mp4"
REVISION = "0123456789abcdef"
# What the gateway adds to its base; its wheels carry FFmpeg and OpenBLAS twice (docs/deploy.md).
CEILING_BYTES = 560_000_000
CONFINED = (
    "--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp:size=64m,nosuid,nodev,noexec", "--cap-drop=all",
    "--security-opt=no-new-privileges", "--network=host", "--ulimit=nofile=1024:4096", "--ulimit=nproc=4096:4096",
    "--no-healthcheck", "--pull=never",
)  # fmt: skip
COMPILERS = {"gcc", "cc", "g++", "c++", "clang", "ld", "as", "make", "cargo", "go"}


@pytest.fixture(scope="module")
def gateway(workshop):
    """The image of the gateway."""
    return workshop.build("gateway", VERSION=__version__, REVISION=REVISION, SOURCE=SOURCE)


@contextmanager
def opened(workshop, image):
    """The files of an image."""
    container = workshop.buildah("from", "--pull-never", image).strip()
    try:
        yield Path(workshop.buildah("mount", container).strip())
    finally:
        workshop.buildah("rm", container)


def _files(folder):
    return [Path(place, name) for place, _, names in os.walk(folder) for name in names]


def test_the_gateway_holds_what_it_runs_and_nothing_else(workshop, gateway, capsys):
    """No torch, pip, compiler, tests, checkpoints or keys; all compiled, and nothing that its user could change."""
    with opened(workshop, gateway) as root:
        own = [*_files(root / "opt"), *_files(root / "app")]
        names = {path.relative_to(root).as_posix() for path in own}
        packages = {path.name for path in (root / "opt/venv/lib/python3.11/site-packages").iterdir()}
        programs = {
            path.name for folder in ("usr/bin", "usr/local/bin", "opt/venv/bin") for path in (root / folder).iterdir()
        }
        writable = [
            path for path in own if not path.is_symlink() and (path.stat().st_uid or path.stat().st_mode & 0o022)
        ]
    assert not packages & {"torch", "pip", "setuptools", "export", "pytest"}
    assert not programs & (COMPILERS | {"curl", "wget", "glimpse-export"})
    assert [name for name in names if "/tests/" in name or name.endswith((".pth.tar", "weights.pth", ".key"))] == []
    assert {Path(name).name for name in names if name.endswith(".pem")} <= {"cacert.pem", "roots.pem"}
    sources = [name for name in names if "/site-packages/server/" in name and name.endswith(".py")]
    assert sources
    for name in sources:
        folder, _, module = name.rpartition("/")
        assert f"{folder}/__pycache__/{module.removesuffix('.py')}.cpython-311.pyc" in names
    assert "app/model_repository/glimpse_flow/1/model.onnx" in names
    assert writable == []
    whole, base = workshop.size(gateway), workshop.size(BASE)
    with capsys.disabled():
        print(f"\nglimpse-gateway adds {(whole - base) / 1e6:.0f} MB to its base, a stand-in of {base / 1e6:.0f} MB")
    assert whole - base < CEILING_BYTES


def test_the_gateway_says_how_it_is_run(workshop, gateway):
    """A numeric user, a signal, a probe, labels, and nothing in its history that is a secret or of one machine."""
    found = workshop.config(gateway)
    config = found["config"]
    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["glimpse"], ["serve"])
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "glimpse", "health"]
    assert set(config["ExposedPorts"]) == {"8080/tcp", "8081/tcp"}
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    told = {"title": "glimpse-gateway", "version": __version__, "revision": REVISION, "source": SOURCE}
    assert told.items() <= labels.items()
    variables = dict(each.split("=", 1) for each in config["Env"])
    assert variables["GLIMPSE_SERVER__HOST"] == "0.0.0.0"
    assert variables["GLIMPSE_BACKEND__REPOSITORY"] == "/app/model_repository"
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    text = json.dumps(found)
    assert not re.search(r"token|password|secret|api.?key|index-url|proxy", text, re.IGNORECASE)
    assert str(ROOT) not in text


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(workshop, image):
    """The container's name, a client of it, and its process; it is removed at the end."""
    name, port = f"glimpse-ops-{os.getpid()}", _free_port()
    settings = {"SERVER__PORT": port, "SERVER__GRPC_PORT": _free_port(), "SERVER__HOST": "127.0.0.1"}
    given = [f"--env=GLIMPSE_{key}={value}" for key, value in settings.items()]
    command = workshop.podman("run", f"--name={name}", *CONFINED, *given, image)
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as client,
    ):
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if "listening" in line:
                    break
            else:
                pytest.fail("".join(said))
            yield name, client, process
        finally:
            subprocess.run(workshop.podman("rm", "--force", "--time=5", name), capture_output=True, check=True)
            process.communicate(timeout=60)


def test_the_gateway_runs_confined(workshop, gateway):
    """As user 10001 on a read-only root, under the container's own filter, it becomes ready, analyses a clip, draws it,
    writes nothing but a list of fonts, has all layers of its sandbox, and ends cleanly when it is stopped.
    """
    with running(workshop, gateway) as (name, client, process):
        ends = time.monotonic() + 120
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < ends
        report = client.post("/v1/analyze", files={"clip": SAMPLE.read_bytes()}).json()
        assert [event["label"] for event in report["events"]] == ["positive"]
        drawn = client.post("/v1/analyze", files={"clip": SAMPLE.read_bytes()}, headers={"accept": "image/png"})
        assert drawn.content.startswith(b"\x89PNG")
        families = text_string_to_metric_families(client.get("/metrics").text)
        layers = {s.labels["layer"]: s.value for f in families for s in f.samples if s.name == "glimpse_sandbox"}

        def inside(*command):
            return done(*workshop.podman("exec", name, *command))

        assert inside("glimpse", "health", "--ready") == ""
        status = dict(line.split(":\t", 1) for line in inside("cat", "/proc/1/status").splitlines())
        assert status["Uid"].split() == status["Gid"].split() == ["10001"] * 4
        assert (int(status["CapEff"], 16), int(status["CapBnd"], 16)) == (0, 0)
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        root = next(line.split() for line in inside("cat", "/proc/1/mounts").splitlines() if line.split()[1] == "/")
        assert "ro" in root[3].split(",")
        files = inside("find", "/tmp", "/dev/shm", "-type", "f").split()
        assert [path for path in files if "/matplotlib/fontlist-" not in path] == []
        # Where the runtime mounts something it makes a place for it; everything else would have been written by ours.
        places = ("/dev", "/etc", "/proc", "/run", "/sys", "/tmp")
        changed = [line.split(maxsplit=1)[1] for line in done(*workshop.podman("diff", name)).splitlines()]
        assert [path for path in changed if not path.startswith(places)] == []
        done(*workshop.podman("stop", "--time=60", name))
        assert process.wait(timeout=60) == 0
    kernel = tuple(int(part) for part in os.uname().release.split(".")[:2])
    assert all(layers[layer] == 1 for layer in ("limits", "privileges", "syscalls")), layers
    if kernel >= (6, 12):
        assert set(layers.values()) == {1.0}, layers


def test_triton_is_nvidias_image_and_the_models(workshop):
    """On an empty stand-in, since NVIDIA's image is none that can be had here: files, user, options."""
    container = workshop.buildah("from", "scratch").strip()
    workshop.buildah("commit", "--quiet", "--rm", "--format=docker", container, "localhost/triton-stand-in:ops")
    image = workshop.build("triton", TRITON_IMAGE="localhost/triton-stand-in:ops", VERSION=__version__)
    config = workshop.config(image)["config"]
    assert config["User"] == "10001:10001"
    assert config["Cmd"][0] == "tritonserver"
    assert {"--model-repository=/app/model_repository", "--disable-auto-complete-config"} <= set(config["Cmd"])
    assert not config.get("Entrypoint")
    with opened(workshop, image) as root:
        names = {path.relative_to(root).as_posix() for path in _files(root)}
        models = {path.name for path in (root / "app/model_repository").iterdir()}
    assert models == {path.name for path in (ROOT / "model_repository").iterdir() if path.is_dir()}
    assert not [name for name in names if not name.startswith("app/model_repository/") or name.endswith("weights.pth")]


def test_a_second_linter_finds_nothing(checkov):
    """Checkov finds only what the Dockerfile argues."""
    options = ("--framework", "dockerfile", "--skip-download", "--compact", "--output", "json")
    told = json.loads(done(checkov, *options, "--file", ROOT / "Dockerfile"))
    assert told["summary"]["passed"] > 0
    assert told["results"]["failed_checks"] == []
    assert [check["check_id"] for check in told["results"]["skipped_checks"]] == ["CKV_DOCKER_7"]
