"""Images, built and run without a daemon: buildah and podman on one storage, in `build/images`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "images"
TOOLS = ("buildah", "podman", "runc", "debootstrap")
SOURCE = "https://git.example/glimpse"
CHECKOV = "checkov==3.3.30"


def done(*command: str | Path) -> str:
    """What a command printed; its errors where it failed."""
    ran = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, (command, ran.stdout[-2000:], ran.stderr[-4000:])
    return ran.stdout


@dataclass(frozen=True)
class Workshop:
    """Where images are kept."""

    driver: str

    @property
    def storage(self) -> tuple[str, ...]:
        """Options of both programs that say where it is."""
        return ("--storage-driver", self.driver, "--root", f"{WORK}/storage", "--runroot", f"{WORK}/run")

    def buildah(self, *arguments: str | Path) -> str:
        return done("buildah", *self.storage, *arguments)

    def podman(self, *arguments: str) -> list[str]:
        """The command, for whoever runs it."""
        options = ("--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none")
        return ["podman", *self.storage, *options, *arguments]

    def build(self, target: str, **arguments: str) -> str:
        """Build a target of the Dockerfile; its name. What it fetches, it fetches as this machine does."""
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        trust = [f"--volume={path}:{path}:ro" for path in ("/etc/ssl/certs",) if Path(path).is_dir()]
        name = f"localhost/glimpse-{target}:ops"
        options = ("--isolation=chroot", "--pull-never", "--format=docker", "--layers")
        self.buildah("build", *options, *trust, *given, f"--target={target}", f"--tag={name}", ".")
        return name

    def config(self, image: str) -> dict[str, Any]:
        """What the image says of itself, history included."""
        return json.loads(self.buildah("inspect", "--type=image", image))["Docker"]

    def size(self, image: str) -> int:
        """Bytes, uncompressed."""
        [found] = json.loads(done(*self.podman("image", "inspect", image)))
        return int(found["Size"])


def _driver() -> str:
    """Overlay where this machine can mount it; else every layer is a copy, which is slow and large."""
    place = WORK / "probe"
    folders = [place / name for name in ("lower", "upper", "work", "merged")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={folders[0]},upperdir={folders[1]},workdir={folders[2]}"
    mounted = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, str(folders[3])], capture_output=True, check=False
    )
    if mounted.returncode == 0:
        done("umount", folders[3])
    shutil.rmtree(place)
    return "overlay" if mounted.returncode == 0 else "vfs"


@pytest.fixture(scope="session")
def workshop() -> Workshop:
    """With the base image in it. Skips where the tools are not there, and fails instead where CI is set."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid() != 0:
        reason = f"images are built as root with {', '.join(TOOLS)}; missing: {', '.join(missing) or 'root'}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    WORK.mkdir(parents=True, exist_ok=True)
    made = Workshop(_driver())
    done(ROOT / "tests" / "ops" / "base_image.sh", WORK, made.driver)
    return made


@pytest.fixture(scope="session")
def checkov() -> Path:
    """The program, in an environment of its own since its pins collide with ours."""
    home = ROOT / "build" / "checkov"
    mark = home / "pins"
    if not mark.is_file() or mark.read_text(encoding="utf-8") != CHECKOV:
        done(sys.executable, "-m", "venv", "--clear", home)
        done(home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", CHECKOV)
        mark.write_text(CHECKOV, encoding="utf-8")
    return home / "bin" / "checkov"
