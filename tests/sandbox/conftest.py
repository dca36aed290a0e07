"""Pools of workers that try to break out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from server.pipeline.live_workers import LiveWorkers
from server.pipeline.workers import WorkerPool
from server.sandbox.confinement import LAYERS, Bounds
from tests.sandbox import attacks

ROOT = Path(__file__).parents[2]


class Watcher:
    """Keeps what the pools report."""

    def __init__(self):
        self.restarts = Counter()
        self.sandbox = {}

    def set_workers(self, **_):
        """Nothing to keep."""

    def observe_wait(self, kind, seconds):
        """Nothing to keep."""

    def track_worker(self, workers, pid, *, runs):
        """Nothing to keep."""

    def count_worker_restart(self, reason):
        """Remember the reason."""
        self.restarts[reason] += 1

    def set_sandbox(self, workers, layers):
        """Remember the layers."""
        self.sandbox[workers] = layers


@pytest.fixture
async def make(monkeypatch):
    """Starts a pool of one worker for clips and closes it; skips where the machine lacks a layer."""
    monkeypatch.syspath_prepend(str(ROOT))
    pools = []

    async def start(*, whole=True, factory=attacks.build, **bounds):
        watcher = Watcher()
        pool = WorkerPool(factory, workers=1, queue=4, bounds=Bounds(**bounds), observer=watcher)
        pools.append(pool)
        await pool.start()
        if whole:
            need_all(watcher.sandbox["clips"])
        return pool, watcher

    yield start
    for pool in pools:
        await pool.close(0)


@pytest.fixture
async def make_live(monkeypatch):
    """As `make`, for live streams."""
    monkeypatch.syspath_prepend(str(ROOT))
    made = []

    async def start(**bounds):
        watcher = Watcher()
        workers = LiveWorkers(attacks.build, most=2, bounds=Bounds(**bounds), observer=watcher)
        made.append(workers)
        await workers.start()
        need_all(watcher.sandbox["live"])
        return workers, watcher

    yield start
    for workers in made:
        await workers.close()


def need_all(layers):
    """Skip where a layer is missing, and fail instead where CI is set."""
    missing = [layer for layer, applied in layers.items() if not applied]
    if missing and os.environ.get("CI"):
        pytest.fail(f"CI must have every layer of the sandbox: {missing} are missing")
    if missing:
        pytest.skip(f"the kernel of this machine lacks {missing}")


def soon(seconds=30):
    """A deadline."""
    return time.monotonic() + seconds


linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


CHILDREN = """
import json, os, signal, sys
from tests.sandbox import attacks
from tests.sandbox.surroundings import surround
from server.sandbox.layers import enter

def endings(attempts):
    for attempt in attempts:
        child = os.fork()
        if child == 0:
            enter("auto")
            answer = attacks.perform(*attempt)
            os.write(1, (json.dumps(answer) + "\\\\n").encode())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            os.write(1, (json.dumps(signal.Signals(os.WTERMSIG(status)).name) + "\\\\n").encode())

without, attempts = json.loads(sys.argv[1])
surround(without)
endings(attempts)
"""


@pytest.fixture(scope="session")
def every_layer():
    """Skips where the machine lacks a layer."""
    asking = "import json; from server.sandbox.layers import enter; print(json.dumps(enter('auto').applied))"
    told = subprocess.run([sys.executable, "-c", asking], cwd=ROOT, capture_output=True, text=True, check=True)
    applied = json.loads(told.stdout)
    need_all({layer: layer in applied for layer in LAYERS})


@pytest.fixture
def in_sandbox(every_layer):
    """Tries attacks, each in a sandboxed process of its own, and tells how each ended."""

    def run(attempts, without=()):
        command = [sys.executable, "-c", CHILDREN.replace("\\\\n", "\\n"), json.dumps([list(without), attempts])]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run
