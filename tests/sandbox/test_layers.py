"""Which layers apply where, and what is told of those that do not."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from server.errors import ConfigurationError
from server.sandbox import layers
from server.sandbox.confinement import LAYERS, REQUIRED, Confinement
from tests.sandbox.conftest import ROOT, linux, soon

pytestmark = linux

GATEWAY = """
import asyncio, json, logging, sys
from server.errors import ConfigurationError
from server.pipeline.workers import WorkerPool
from server.sandbox.confinement import Bounds
from tests.sandbox import attacks
from tests.sandbox.conftest import Watcher, soon
from tests.sandbox.surroundings import surround

logging.basicConfig(format="%(levelname)s %(message)s %(lacks)s", level="WARNING")
without, modes, attempts = json.loads(sys.argv[1])
surround(without)

async def main(mode):
    watcher = Watcher()
    if mode == "required":
        logging.disable()
    pool = WorkerPool(attacks.build, workers=1, queue=1, bounds=Bounds(sandbox=mode), observer=watcher)
    try:
        await pool.start()
        answers = [await pool.run(tuple(each), deadline=soon()) for each in attempts]
        print(json.dumps([watcher.sandbox["clips"], answers]))
    except ConfigurationError as error:
        print(json.dumps(str(error)))
    finally:
        await pool.close(0)

for each in modes:
    asyncio.run(main(each))
"""


def gateway(*without, attempts):
    """What gateways on a kernel that lacks something tell: one that takes what there is, one that requires all; the log
    of the first.
    """
    command = [sys.executable, "-c", GATEWAY, json.dumps([without, ["auto", "required"], attempts])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    (told, answers), refused = map(json.loads, done.stdout.splitlines())
    return told, answers, refused, done.stderr


async def test_every_layer_is_told(make, caplog):
    """What confines the workers is logged once, and counted layer by layer."""
    with caplog.at_level(logging.INFO):
        pool, watcher = await make()
        await pool.run(("nothing",), deadline=soon())
    assert watcher.sandbox == {"clips": dict.fromkeys(LAYERS, True)}
    told = [record for record in caplog.records if "confined" in record.getMessage()]
    assert [record.layers for record in told] == [", ".join(LAYERS)]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_kernel_without_landlock(tmp_path, every_layer):
    """The filter alone keeps files and the network out of reach; what is missing is logged, and refused if required."""
    attempts = [["read", "/etc/passwd"], ["write", str(tmp_path / "x")], ["bind"], ["fork"]]
    told, answers, refused, log = gateway("landlock", attempts=attempts)
    assert answers == ["EPERM"] * 4
    assert told == {**dict.fromkeys(LAYERS, True), "files": False, "network": False, "signals": False}
    assert "WARNING workers for clips lack a layer" in log
    assert "files: Landlock: the kernel does not have it" in log
    assert "files: Landlock: the kernel does not have it" in refused


def test_a_kernel_without_seccomp(tmp_path, every_layer):
    """Landlock alone keeps files and TCP out of reach; what is missing is logged, and refused if required."""
    attempts = [["read", "/etc/passwd"], ["write", str(tmp_path / "x")], ["list", "/"], ["bind"]]
    told, answers, refused, log = gateway("seccomp", attempts=attempts)
    assert answers == ["EACCES"] * 4
    assert told == {**dict.fromkeys(LAYERS, True), "syscalls": False}
    assert "syscalls: seccomp: the kernel does not have it" in log
    assert "syscalls: seccomp: the kernel does not have it" in refused


def test_a_kernel_without_either(tmp_path, every_layer):
    """What every Unix limits is left: descriptors, bytes in files, memory, processor time and dumps."""
    attempts = [["descriptors", 100], ["write", str(tmp_path / "x")]]
    told, answers, refused, log = gateway("landlock", "seccomp", attempts=attempts)
    assert answers == ["EMFILE", "EFBIG"]
    assert [layer for layer in LAYERS if told[layer]] == ["limits", "privileges"]
    assert "files: " in log
    assert "syscalls: " in log
    assert "the sandbox is required and lacks files: " in refused
    assert "GLIMPSE_WORKERS__SANDBOX" in refused


async def test_what_is_required_is_there(make):
    """On a machine that has all of it, a service that requires it starts."""
    pool, _ = await make(sandbox="required")
    assert await pool.run(("read", "/etc/passwd"), deadline=soon()) == "EPERM"


def test_an_older_landlock_is_enough():
    """A kernel whose Landlock knows files alone lacks layers that the filter makes up for: it may be required."""
    told = Confinement({"network": "4 is needed", "signals": "6 is needed"})
    assert told.lacking == ""
    assert told.applied == REQUIRED


def test_another_architecture_is_told(monkeypatch):
    """Where the numbers of system calls are not known, neither Landlock nor the filter is tried."""
    monkeypatch.setattr(layers, "machine", lambda: None)
    monkeypatch.setattr(layers, "limit_files", lambda: None)
    monkeypatch.setattr(layers, "forbid_privileges", lambda: True)
    told = layers.enter("auto")
    assert told.applied == ("limits", "privileges")
    assert "not made for Linux on" in told.lacking


async def test_a_worker_that_cannot_be_confined_is_no_worker(make):
    """A factory that leaves a thread behind would leave it outside of Landlock: told, and refused if required."""
    from tests.sandbox import attacks

    with pytest.raises(ConfigurationError, match="other threads were running: 1"):
        await make(sandbox="required", factory=attacks.build_with_a_thread)


def test_nothing_is_called_that_is_not_on_the_list(every_layer):
    """Every codec, form of picture and way of failing, a clip with a movement and a live stream need no other call."""
    command = [sys.executable, "-m", "tests.sandbox.every_path"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done
    answered, refused, looks, events = map(int, done.stdout.split())
    assert (answered, looks, events) == (5, 75, 1)
    assert refused > 0
