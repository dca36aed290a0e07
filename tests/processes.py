"""Processes that a service has started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    """Those that any thread of `pid` has started and that live, the oldest first."""
    found: set[int] = set()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):
            found.update(int(child) for child in (thread / "children").read_text("ascii").split())
    return sorted(found)


@contextmanager
def standing_still(pids: list[int]) -> Iterator[None]:
    """These processes get no processor time."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
