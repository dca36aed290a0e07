"""Handlers that the tests run in real worker processes."""

from __future__ import annotations

import ctypes
import hashlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.errors import NoFace
from server.types import Progress


def build() -> Callable[[Any, Callable[[Progress], None]], Any]:
    """The factory of most tests."""
    return handle


def refuse_to_build() -> Callable[[Any, Callable[[Progress], None]], Any]:
    """A factory that cannot load its networks."""
    raise FileNotFoundError("detector.onnx is missing")


def die_while_building() -> Callable[[Any, Callable[[Progress], None]], Any]:
    """A factory that takes the process with it."""
    os._exit(7)


def build_the_second_time(mark: str) -> Callable[[Any, Callable[[Progress], None]], Any]:
    """A factory whose first process dies."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return handle


def handle(job: tuple[Any, ...], report: Callable[[Progress], None]) -> Any:
    """Do what the job's first word says."""
    return _ACTIONS[job[0]](report, *job[1:])


def _count(report: Callable[[Progress], None], steps: int) -> int:
    for step in range(steps):
        report(Progress("count", step, steps))
    return steps


def _hash(_: Callable[[Progress], None], data: bytes) -> tuple[int, str]:
    return len(data), hashlib.blake2b(data).hexdigest()


def _raise(report: Callable[[Progress], None], kind: str, text: str) -> None:
    report(Progress("raise", 0, 1))
    if kind == "NoFace":
        raise NoFace(text, stage="faces", frames=3)
    raise ValueError(text)


def _die(report: Callable[[Progress], None], how: str) -> None:
    report(Progress("die", 0, 1))
    if how == "segfault":
        ctypes.string_at(0)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        os._exit(3)


def _hang(report: Callable[[Progress], None]) -> None:
    report(Progress("hang", 0, 0))
    threading.Event().wait()


def _spin(report: Callable[[Progress], None], _clip: bytes = b"") -> None:
    pause = threading.Event()
    while True:
        report(Progress("spin", 0, 0))
        pause.wait(0.001)


def _allocate(report: Callable[[Progress], None]) -> int:
    report(Progress("allocate", 0, 0))
    return len([bytearray(1 << 26) for _ in range(1 << 10)])


def _describe(_: Callable[[Progress], None]) -> dict[str, Any]:
    import cv2

    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "omp": os.environ["OMP_NUM_THREADS"],
        "settings": [name for name in os.environ if name.upper().startswith("GLIMPSE_")],
        "cv2": cv2.getNumThreads(),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "sigint": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        "torch": "torch" in sys.modules,
    }


def _once(report: Callable[[Progress], None], mark: str) -> str:
    """Answers only who asks a second time; until then it waits to be killed."""
    first = not Path(mark).exists()
    Path(mark).touch()
    report(Progress("once", 0, 1))
    if first:
        threading.Event().wait()
    return "answered"


def _unpicklable(_: Callable[[Progress], None]) -> Any:
    return threading.Lock()


_ACTIONS: dict[str, Callable[..., Any]] = {
    "count": _count,
    "hash": _hash,
    "raise": _raise,
    "die": _die,
    "hang": _hang,
    "spin": _spin,
    "allocate": _allocate,
    "describe": _describe,
    "once": _once,
    "unpicklable": _unpicklable,
}
