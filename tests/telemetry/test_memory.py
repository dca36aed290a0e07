"""Memory of processes and containers, as the kernel tells it."""

import os
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry

from server.telemetry.memory import ProcessMemory


def told(memory):
    """The values by name and label."""
    return {(s.name, *s.labels.values()): s.value for family in memory.collect() for s in family.samples}


@pytest.fixture
def cgroup(tmp_path):
    """A control group of version 2 with a limit of 1000 bytes, of which 700 are held, 200 as pages of files."""
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 400\ninactive_file 200\n")
    return tmp_path


def test_processes_are_added_up(tmp_path):
    """Resident memory is that of all of a kind, address space that of the largest; this process is a real one."""
    memory = ProcessMemory(cgroup=tmp_path)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        memory.track("clips", os.getpid(), runs=True)
        alone = told(memory)
        memory.track("clips", child.pid, runs=True)
        both = told(memory)
    finally:
        child.communicate(b"\n")
    assert alone["glimpse_worker_memory_bytes", "clips"] > 2**20
    assert both["glimpse_worker_memory_bytes", "clips"] > alone["glimpse_worker_memory_bytes", "clips"]
    space = "glimpse_worker_address_space_bytes", "clips"
    assert both[space] == pytest.approx(alone[space], rel=0.1)


def test_what_has_ended_is_left_out(tmp_path):
    """Whether that was told or not; the kind stays, with nothing."""
    memory = ProcessMemory(cgroup=tmp_path)
    memory.track("live", 2**22 + 1, runs=True)
    memory.track("clips", os.getpid(), runs=True)
    memory.track("clips", os.getpid(), runs=False)
    seen = told(memory)
    assert seen["glimpse_worker_memory_bytes", "live"] == seen["glimpse_worker_memory_bytes", "clips"] == 0
    assert seen["glimpse_worker_address_space_bytes", "live"] == 0


def test_containers_are_seen_where_they_are_limited(cgroup):
    """What the kernel can take back does not count; without a limit, or without such a group, nothing is told."""
    seen = told(ProcessMemory(cgroup=cgroup))
    assert seen == {("glimpse_container_memory_bytes",): 500, ("glimpse_container_memory_limit_bytes",): 1000}
    (cgroup / "memory.max").write_text("max\n")
    assert told(ProcessMemory(cgroup=cgroup)) == {}
    assert told(ProcessMemory(cgroup=cgroup / "nowhere")) == {}


def test_it_is_a_collector_of_the_library(cgroup):
    """A registry takes it, and asks it anew each time."""
    registry, memory = CollectorRegistry(), ProcessMemory(cgroup=cgroup)
    registry.register(memory)
    memory.limit_bytes = 7
    assert registry.get_sample_value("glimpse_worker_address_space_limit_bytes") == 7
