"""What the images are made of, as it is written: locks, the context of the build, the Dockerfile, compose.yaml."""

import fnmatch
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from server import __version__

ROOT = Path(__file__).parents[1]
USER = "10001:10001"
# What each image has, by the extras of pyproject.toml.
EXTRAS = {"gateway": ("runtime",), "exporter": ("runtime", "export"), "test": ("runtime", "export", "dev")}


def _name(requirement):
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ;]", requirement)[0]).lower()


def _locked(name):
    """Version and hashes of each package of a lock."""
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").strip())
    found = {}
    for entry in entries:
        head, *hashes = (line.strip(" \\") for line in entry.splitlines())
        package, version = head.split("==")
        found[_name(package)] = version, hashes
    return found


def _project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("lock", ["build", *EXTRAS])
def test_a_lock_pins_what_constraints_pin_with_hashes(lock):
    """Nothing but packages, each in the version of constraints.txt (a build of torch may say for what it is)."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    pins = {_name(line): line.split("==")[1] for line in lines}
    for package, (version, hashes) in _locked(lock).items():
        assert version.split("+")[0] == pins[package], package
        assert hashes, package
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes), package


@pytest.mark.parametrize("lock", EXTRAS)
def test_a_lock_holds_what_the_project_asks_for(lock):
    """Each dependency of its extras; the gateway has no torch."""
    project = _project()["project"]
    groups = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in EXTRAS[lock])]
    locked = _locked(lock)
    assert {_name(each) for group in groups for each in group} <= set(locked)
    assert ("torch" in locked) == (lock != "gateway")


def test_the_tools_of_the_build_are_locked():
    """What pyproject.toml builds with is what requirements/build.txt has."""
    assert set(_locked("build")) == {_name(each) for each in _project()["build-system"]["requires"]}


def _context():
    """The tracked files that reach the builder by .dockerignore: the last rule that matches decides."""
    rules = [
        line
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert rules[0] == "*"

    def enters(path):
        places = [path, *map(str, Path(path).parents)][:-1]
        kept = False
        for rule in rules:
            pattern = rule.removeprefix("!").removeprefix("**/")
            if any(fnmatch.fnmatch(place, pattern) for place in places) or (
                "**/" in rule and any(fnmatch.fnmatch(part, pattern) for part in Path(path).parts)
            ):
                kept = rule.startswith("!")
        return kept

    return enters


def test_only_what_images_are_made_of_reaches_the_builder():
    """No tests, no history, nothing that looks like a secret, and everything that is copied."""
    enters = _context()
    outside = """tests/conftest.py .git/config .env server/.env.local server/tls.key keys.json model_repository/a.pem
        .venv/bin/python .triton/x bench/flow.py docs/tls.md server/__pycache__/app.pyc requirements/x.in"""
    for path in outside.split():
        assert not enters(path), path
    listed = subprocess.run(
        ["git", "ls-files", "server", "client", "export", "stubs", "model_repository", "requirements"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [
        path for path in ("LICENSE", "README.md", "pyproject.toml", *listed.stdout.split()) if not enters(path)
    ] == []


def test_the_dockerfile_passes_its_linter():
    """Hadolint has nothing to say; what is ignored is argued where it stands."""
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def _stages():
    """The instructions of each stage of the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    stages = {}
    for line in text.splitlines():
        if opened := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            stages[opened[2]] = [opened[1]]
        elif stages and line and not line.startswith("#"):
            stages[list(stages)[-1]].append(line)
    return stages


def test_images_run_as_a_user_without_a_name():
    """The number is one that Kubernetes can check, the same everywhere; what is run is no shell's command."""
    stages = _stages()
    for target in ("gateway", "exporter", "triton", "test"):
        lines = [*stages[target], *stages.get(stages[target][0], ())]
        assert [line for line in lines if line.startswith("USER")] == [f"USER {USER}"], target
        for line in lines:
            if line.startswith(("CMD", "ENTRYPOINT")):
                assert line.split(maxsplit=1)[1].startswith("["), line
    assert list(stages)[-1] == "gateway"


def test_compose_confines_every_service():
    """Read-only, without capabilities and new privileges, not root, of bounded memory; published on loopback alone."""
    document = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    for name, service in document["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service["user"].startswith("0:"), name
        assert service["mem_limit"], name
        assert any(each.startswith("/tmp:size=") for each in service["tmpfs"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert re.search(r":[^:]*\d", service["image"]), name
        assert "privileged" not in service, name
    assert document["services"]["gateway"]["user"] == document["services"]["triton"]["user"] == USER
    assert document["services"]["triton"]["networks"] == ["back"]
    assert document["networks"]["back"]["internal"] is True


def test_compose_builds_the_version_that_this_is():
    """The tag is that of the package, and the targets are stages of the Dockerfile."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for name in ("gateway", "triton"):
        assert services[name]["image"] == f"glimpse-{name}:${{GLIMPSE_VERSION:-{__version__}}}"
        assert services[name]["build"]["target"] == name
        assert services[name]["build"]["args"]["VERSION"] == f"${{GLIMPSE_VERSION:-{__version__}}}"
        assert name in _stages()


def test_compose_mounts_what_is_there():
    """Each file that a service reads is in the repository, and read-only."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for volume in (volume for service in services.values() for volume in service.get("volumes", ())):
        source, _, *mode = volume.split(":")
        if source.startswith("./"):
            assert mode == ["ro"], volume
            assert (ROOT / source).exists(), volume


def test_gateway_of_compose_has_settings_that_hold():
    """The variables of compose.yaml are settings, and the way to Triton is that of its service."""
    from server.settings import load

    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    backend = load(services["gateway"]["environment"]).backend
    assert backend.kind == "triton"
    assert backend.triton_address.partition(":")[0] in services
