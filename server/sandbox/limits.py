"""Limits of a worker's resources, which every Unix knows (setrlimit(2))."""

from __future__ import annotations

import math
import resource
import time

_OPEN_FILES = 16
"""New descriptors get numbers below; a worker is given five, and needs no more."""


def limit_memory(memory_bytes: int) -> None:
    """The address space that may be used; what does not fit is a `MemoryError`."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def limit_files() -> None:
    """Few descriptors, and not one byte into any file; pipes are no files."""
    most = min(_OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def limit_processor_time(seconds: float) -> None:
    """From now on, of this process, rounded up to whole seconds; past it, SIGXCPU ends the process.

    The kernel counts from the start of a process, so the limit has to move on with each job. Only the soft one does: a
    process without privileges could not raise the hard one again.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = math.ceil(time.process_time() + seconds)
    soft = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, most))
