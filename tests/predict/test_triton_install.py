"""Installing a Triton of one's own."""

import ctypes.util
import platform
import sys
import sysconfig

import pytest

from server.errors import ConfigurationError
from server.predict import triton_install
from server.predict.triton_install import REQUIREMENTS, ensure_installed


@pytest.fixture
def steps(monkeypatch):
    """Replaces the slow steps by notes of them."""
    noted = []
    monkeypatch.setattr(triton_install, "_build_environment", lambda _: noted.append("environment"))
    monkeypatch.setattr(triton_install, "_assemble_backends", lambda _: noted.append("backends"))
    return noted


def test_a_second_call_installs_nothing(triton_server_factory, pytestconfig):
    """With the real installation in place nothing is reported, and all parts are there."""
    said = []
    installation = ensure_installed(pytestconfig.rootpath / ".triton", report=said.append)
    assert said == []
    assert installation.binary.is_file()
    assert (installation.backends / "onnxruntime" / "model.py").is_file()
    assert (installation.backends / "python" / "triton_python_backend_stub").is_file()


def test_everything_is_pinned_and_numpy_is_1():
    """No version is left to the day of the installation, and Triton's Python backend gets the numpy it can read."""
    pins = dict(requirement.split("==") for requirement in REQUIREMENTS)
    assert all(pins.values())
    assert pins["numpy"].startswith("1.")


def test_what_was_interrupted_is_done_again(steps, tmp_path, monkeypatch):
    """A step that fails leaves no mark, so that the next call does it; a finished one is not repeated."""
    said = []

    def broken(_installation):
        raise ConfigurationError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(triton_install, "_build_environment", broken)
        with pytest.raises(ConfigurationError, match="no network"):
            ensure_installed(tmp_path, report=said.append)
    ensure_installed(tmp_path, report=said.append)
    ensure_installed(tmp_path, report=said.append)
    assert steps == ["environment", "backends"]
    assert len(said) == 2


def test_other_pins_make_a_new_environment(steps, tmp_path, monkeypatch):
    """After an update of the pins the environment and what is copied from it are made anew."""
    ensure_installed(tmp_path)
    monkeypatch.setattr(triton_install, "REQUIREMENTS", ("nvidia-pytriton==9.9.9",))
    ensure_installed(tmp_path)
    assert steps == ["environment", "backends"] * 2


def test_packages_that_cannot_be_had(tmp_path, monkeypatch):
    """The error has the installer's own words and the way without it."""
    monkeypatch.setattr(triton_install, "REQUIREMENTS", (str(tmp_path / "absent.whl"),))
    with pytest.raises(ConfigurationError, match=r"(?s)NVIDIA's container.*absent\.whl"):
        ensure_installed(tmp_path / "home")


@pytest.mark.parametrize(
    ("where", "name", "value", "says"),
    [
        (platform, "machine", lambda: "aarch64", "Linux x86-64 only, not linux aarch64"),
        (sys, "platform", "darwin", "not darwin"),
        (platform, "libc_ver", lambda: ("glibc", "2.31"), r"glibc 2\.35 or newer, this is glibc 2\.31"),
        (platform, "libc_ver", lambda: ("", ""), "another C library"),
        (sys, "version_info", (3, 13, 0), "Python 3.11 or 3.12"),
    ],
)
def test_machines_that_cannot_run_it(steps, tmp_path, monkeypatch, where, name, value, says):
    """Another system, an old C library or a Python without numpy 1 is refused before anything is fetched."""
    if name == "version_info":
        monkeypatch.setattr(triton_install, "_python_version", lambda: "3.13")
    monkeypatch.setattr(where, name, value)
    with pytest.raises(ConfigurationError, match=says) as caught:
        ensure_installed(tmp_path / "home")
    monkeypatch.undo()
    assert "NVIDIA's container" in str(caught.value)
    assert steps == []


def test_a_missing_python_library_names_its_package(steps, tmp_path, monkeypatch):
    """Without the shared Python library the error names the Debian package that brings it."""
    monkeypatch.setattr(ctypes.util, "find_library", lambda _: None)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"Debian package libpython3\.\d+"):
        ensure_installed(tmp_path / "home")
    assert steps == []


def test_a_python_built_apart_lends_its_library(steps, tmp_path, monkeypatch):
    """Where the interpreter has its own shared library Triton gets a link to it, and to nothing beside it."""
    library = tmp_path / "lib" / triton_install._libpython_name()
    library.parent.mkdir()
    library.touch()
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: str(library.parent))
    for _ in range(2):
        installation = ensure_installed(tmp_path / "home")
    folder = installation.libraries[1]
    assert [child.readlink() for child in folder.iterdir()] == [library]
