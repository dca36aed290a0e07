"""The memory of worker processes and of the container around them, read when the metrics are asked for."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")


class ProcessMemory(Collector):
    """`proc` and `cgroup` are where the kernel shows processes, and the control group of this one (version 2, as in a
    container: cgroups(7)). `limit_bytes` is the address space that a worker may use, 0 while it is not known.
    """

    def __init__(self, proc: Path = _PROC, cgroup: Path = _CGROUP) -> None:
        self._proc = proc
        self._cgroup = cgroup
        self._pids: defaultdict[str, set[int]] = defaultdict(set)
        self.limit_bytes = 0

    def track(self, workers: str, pid: int, *, runs: bool) -> None:
        """A process of these `workers` is there from now on, or no longer."""
        if runs:
            self._pids[workers].add(pid)
        else:
            self._pids[workers].discard(pid)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What is there now; a process that has just ended is left out, and so is a container without a limit."""
        resident = GaugeMetricFamily(
            "glimpse_worker_memory_bytes",
            "Resident memory of all worker processes; pages that they share count for each.",
            labels=("workers",),
        )
        largest = GaugeMetricFamily(
            "glimpse_worker_address_space_bytes",
            "Address space of the worker process that has most, which is what is limited.",
            labels=("workers",),
        )
        for workers, pids in self._pids.items():
            sizes = [size for pid in pids if (size := self._size(pid)) is not None]
            resident.add_metric((workers,), sum(resident_bytes for _, resident_bytes in sizes))
            largest.add_metric((workers,), max((space for space, _ in sizes), default=0))
        yield resident
        yield largest
        if self.limit_bytes:
            help_text = "Address space that one worker process may use."
            yield GaugeMetricFamily("glimpse_worker_address_space_limit_bytes", help_text, value=self.limit_bytes)
        yield from self._container()

    def _size(self, pid: int) -> tuple[int, int] | None:
        """Address space and resident memory in bytes."""
        try:
            space, resident, *_ = (self._proc / str(pid) / "statm").read_text().split()
        except (OSError, ValueError):
            return None
        page = os.sysconf("SC_PAGE_SIZE")
        return int(space) * page, int(resident) * page

    def _container(self) -> Iterator[GaugeMetricFamily]:
        """Its working set, which is what the kernel cannot take back, as cAdvisor and the kubelet count it."""
        try:
            most = (self._cgroup / "memory.max").read_text().strip()
            used = int((self._cgroup / "memory.current").read_text())
            stat = dict(line.split() for line in (self._cgroup / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):
            return
        if most == "max":
            return
        working = max(0, used - int(stat.get("inactive_file", 0)))
        help_text = "Memory of the container that cannot be taken back, where it is limited."
        yield GaugeMetricFamily("glimpse_container_memory_bytes", help_text, value=working)
        help_text = "Memory beyond which the container is ended, where it is limited."
        yield GaugeMetricFamily("glimpse_container_memory_limit_bytes", help_text, value=int(most))
