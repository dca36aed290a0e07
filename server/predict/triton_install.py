"""Puts a real Triton Inference Server into a folder of its own, from pinned packages.

The server inside the wheel `nvidia-pytriton` is NVIDIA's binary with its Python backend. It lives in a virtual
environment apart, because its backend needs numpy 1 where the service uses numpy 2.
"""

from __future__ import annotations

import ctypes.util
import fcntl
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from server.errors import ConfigurationError

REQUIREMENTS = ("nvidia-pytriton==0.7.0", "numpy==1.26.4", "onnxruntime==1.31.1")
"""Installed without their dependencies: the binary needs none of pytriton's, inference none of ONNX Runtime's."""

_PYTHONS = ((3, 11), (3, 12))
_GLIBC = (2, 35)
_BACKENDS = Path(__file__).parent / "triton_backend"
_INSTEAD = "; run NVIDIA's container with the same repository instead (docs/triton.md)"


@dataclass(frozen=True, slots=True)
class TritonInstallation:
    """Where the parts are, all under `home`."""

    home: Path

    @property
    def environment_bin(self) -> Path:
        """Programs of the virtual environment; the backend's stub must find its `python3` first."""
        return self.home / "venv" / "bin"

    @property
    def site_packages(self) -> Path:
        """Packages of the virtual environment."""
        return self.home / "venv" / "lib" / f"python{_python_version()}" / "site-packages"

    @property
    def distribution(self) -> Path:
        """The server as the wheel unpacks it."""
        return self.site_packages / "pytriton" / "tritonserver"

    @property
    def binary(self) -> Path:
        """The server program."""
        return self.distribution / "bin" / "tritonserver"

    @property
    def libraries(self) -> tuple[Path, ...]:
        """Folders for LD_LIBRARY_PATH: the wheel's own libraries, and the interpreter's where it was built apart."""
        return self.site_packages / "nvidia_pytriton.libs", self.home / "lib"

    @property
    def backends(self) -> Path:
        """The folder for `--backend-directory`."""
        return self.home / "backends"


def ensure_installed(home: Path, *, report: Callable[[str], None] = lambda _: None) -> TritonInstallation:
    """Install into `home` unless that was done before; a second call costs milliseconds.

    `report` receives one line before anything slow. Raises `ConfigurationError` where the server cannot run on this
    machine or a package cannot be had, naming what to do.
    """
    libpython = _check_platform()
    home = home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    installation = TritonInstallation(home)
    with _only_one(home):
        environment, backends = _fingerprints()
        if not _stamped(home / "environment.stamp", environment):
            report(f"installing Triton into {home} (about 320 MB)")
            _build_environment(installation)
            (home / "environment.stamp").write_text(environment, encoding="utf-8")
        if not _stamped(home / "backends.stamp", backends):
            _assemble_backends(installation)
            (home / "backends.stamp").write_text(backends, encoding="utf-8")
        _link_libpython(installation, libpython)
    return installation


def _python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _libpython_name() -> str:
    return f"libpython{_python_version()}.so.1.0"


def _check_platform() -> Path | None:
    """The shared Python library where it is not on the system's path, None where it is."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ConfigurationError(
            f"the Triton of the package index runs on Linux x86-64 only, not {sys.platform} {platform.machine()}"
            + _INSTEAD
        )
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < _GLIBC:
        found = f"{name} {version}".strip() or "another C library"
        raise ConfigurationError(f"Triton needs glibc {_GLIBC[0]}.{_GLIBC[1]} or newer, this is {found}{_INSTEAD}")
    if sys.version_info[:2] not in _PYTHONS:
        raise ConfigurationError(
            f"Triton's Python backend needs numpy 1, which has no build for Python {_python_version()}: use Python 3.11"
            f" or 3.12 for this command{_INSTEAD}"
        )
    own = Path(str(sysconfig.get_config_var("LIBDIR"))) / _libpython_name()
    if own.is_file():
        return own
    if ctypes.util.find_library(f"python{_python_version()}") is None:
        raise ConfigurationError(
            f"Triton's Python backend needs the shared library {_libpython_name()}: install the Debian package"
            f" libpython{_python_version()}{_INSTEAD}"
        )
    return None


def _fingerprints() -> tuple[str, str]:
    """What the environment and the backends were made from."""
    environment = json.dumps({"requirements": REQUIREMENTS, "python": sys.version, "base": sys.base_prefix})
    sources = b"".join(path.read_bytes() for path in sorted(_BACKENDS.glob("*/model.py")))
    return environment, hashlib.sha256(environment.encode() + sources).hexdigest()


def _stamped(stamp: Path, wanted: str) -> bool:
    done = stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted
    if not done:
        stamp.unlink(missing_ok=True)
    return done


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_environment(installation: TritonInstallation) -> None:
    environment = installation.home / "venv"
    shutil.rmtree(environment, ignore_errors=True)
    _run(
        [sys.executable, "-m", "venv", str(environment)],
        f"the virtual environment could not be made (Debian: install python{_python_version()}-venv)",
    )
    pip = [str(installation.environment_bin / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-input"]
    _run(
        [*pip, "--disable-pip-version-check", "--only-binary=:all:", *REQUIREMENTS],
        f"the packages of Triton could not be installed{_INSTEAD}",
    )


def _run(command: list[str], failure: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigurationError(f"{failure}:\n{(done.stderr or done.stdout).strip()[-2000:]}")


def _assemble_backends(installation: TritonInstallation) -> None:
    shutil.rmtree(installation.backends, ignore_errors=True)
    python = installation.backends / "python"
    shutil.copytree(installation.distribution / "backends" / "python", python)
    stub = "triton_python_backend_stub"
    shutil.copy2(installation.distribution / "python_backend_stubs" / _python_version() / stub, python / stub)
    (python / stub).chmod(0o755)
    for source in _BACKENDS.glob("*/model.py"):
        target = installation.backends / source.parent.name
        target.mkdir()
        shutil.copy2(source, target / source.name)


def _link_libpython(installation: TritonInstallation, libpython: Path | None) -> None:
    # A link in a folder of its own, because the interpreter's library folder may hold libraries that would
    # take the place of the system's (a conda environment brings its own libstdc++).
    folder = installation.home / "lib"
    folder.mkdir(exist_ok=True)
    link = folder / _libpython_name()
    if libpython is not None and not (link.is_symlink() and link.readlink() == libpython):
        link.unlink(missing_ok=True)
        link.symlink_to(libpython)
