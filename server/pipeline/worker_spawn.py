"""Starts the process of a worker, with nothing of the gateway's but its end of the pipe and a few variables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping

from server.pipeline.worker_pipe import MessagePipe
from server.secrecy import overwriting

_LIBRARIES = "LD_LIBRARY_PATH"
_INHERITED = (
    "PATH", _LIBRARIES, "LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONHOME", "PYTHONUTF8", "PYTHONHASHSEED",
    "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "ORT_DISABLE_TELEMETRY",
)  # fmt: skip
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "MALLOC_ARENA_MAX"), "1"
)
_MOST_BYTES = 4096
_OF_A_CRASH = re.compile(
    r'Fatal Python error: .+|Current thread .+|Thread .+|  File ".+", line \d+ in .+|worker ended by .+'
)


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """What a worker gets of the gateway's variables: those that Python and its libraries need to start, and no other,
    since among the others are keys, addresses of proxies, and credentials of clouds.
    """
    taken = {name: inherited[name] for name in _INHERITED if name in inherited}
    if _LIBRARIES in taken:
        # An empty entry, as OpenCV leaves behind its own, stands for whatever folder the gateway was started in.
        taken[_LIBRARIES] = os.pathsep.join(filter(None, taken[_LIBRARIES].split(os.pathsep)))
    return {**taken, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class LastWords:
    """Keeps the end of what a process writes to its standard error, which a hostile clip may have a hand in."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self._kept = b""
        self._thread = threading.Thread(target=self._listen, name="glimpse-worker-stderr", daemon=True)
        self._thread.start()

    def heard(self, *, everything: bool) -> str:
        """Once the process has ended: printable lines, joined by `; `; only those of a crash where not `everything`."""
        self._thread.join()
        lines = re.sub(r"[^\n\x20-\x7e]", "?", self._kept.decode("ascii", "replace")).splitlines()
        return "; ".join(line.strip() for line in lines if line and (everything or _OF_A_CRASH.fullmatch(line)))

    def _listen(self) -> None:
        with os.fdopen(self._reader, "rb", buffering=0) as stream:
            while piece := stream.read(_MOST_BYTES):
                self._kept = (self._kept + piece)[-_MOST_BYTES:]


def spawn(end: MessagePipe) -> tuple[subprocess.Popen[bytes], LastWords]:
    """Raises `OSError`."""
    command = [sys.executable, "-P", "-m", "server.pipeline.worker_main", *map(str, end.descriptors)]
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            command,
            pass_fds=end.descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=writer,
            env=overwriting(environment(os.environ)),
        )
    except OSError:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return process, LastWords(reader)
