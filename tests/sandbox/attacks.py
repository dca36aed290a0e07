"""What somebody would try who has taken a worker over: run inside real workers and in sandboxed children of a test."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from server.errors import MediaError
from server.media.decode import open_clip
from server.media.image import read_picture
from server.media.limits import MediaLimits
from server.sandbox.syscalls import machine
from server.types import Progress

_LIBC = ctypes.CDLL(None, use_errno=True)
_X32 = 0x40000000
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE, _PR_SET_NAME = 3, 4, 15


def build() -> Callable[[Any, Callable[[Progress], None]], Any]:
    """The factory."""
    return lambda job, report: perform(*job)


def build_with_a_thread() -> Callable[[Any, Callable[[Progress], None]], Any]:
    """A factory that leaves something running."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return build()


def build_that_looked() -> Callable[[Any, Callable[[Progress], None]], Any]:
    """A factory whose handler tells whether it could be dumped while it was built, and into how large a file."""
    seen = (_LIBC.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
    return lambda job, report: seen


def perform(name: str, *arguments: Any) -> Any:
    """Try one; its result, or the name of the error that the system answered with."""
    try:
        return ATTACKS[name](*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def call(name: str, *arguments: int) -> int:
    """A system call by its name in the tables of the sandbox."""
    found = machine()
    assert found is not None
    return _called(found.fatal[name], *arguments)


def _called(number: int, *arguments: int) -> int:
    result = int(_LIBC.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)))
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def _checked(result: int) -> str:
    if result != 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "done"


def _read(path: str) -> str:
    return Path(path).read_text("utf-8")


def _write(path: str) -> str:
    Path(path).write_text("x", "utf-8")
    return "done"


def _connect(port: int) -> str:
    with socket.socket() as there:
        there.connect(("127.0.0.1", port))
    return "done"


def _datagram(port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"face", ("127.0.0.1", port))
    return "done"


def _unix(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as there:
        there.connect(path)
    return "done"


def _bind() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
    return "done"


def _fork() -> str:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "done"


def _spawn() -> str:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    return "done"


def _executable_memory() -> str:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    return "done"


def _descriptors(most: int) -> int:
    taken: list[int] = []
    try:
        while len(taken) < most:
            taken.append(os.dup(0))
        return len(taken)
    finally:
        for each in taken:
            os.close(each)


def _raise_limits() -> str:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
    except ValueError:  # what Python makes of EPERM
        return "EPERM"
    return "done"


def _burn(seconds: float) -> float:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return time.process_time()


def _processor_limit() -> tuple[float, float]:
    return time.process_time(), resource.getrlimit(resource.RLIMIT_CPU)[0]


def _held() -> list[int]:
    found = []
    for number in range(1024):
        try:
            os.lseek(number, 0, os.SEEK_CUR)
        except OSError as error:
            if error.errno == errno.EBADF:
                continue
        found.append(number)
    return found


def _ended_by(number: int) -> None:
    os.kill(os.getpid(), number)


ATTACKS: dict[str, Callable[..., Any]] = {
    "nothing": lambda: "done",
    "read": _read,
    "write": _write,
    "list": lambda path: list(Path(path).iterdir()),
    "look": lambda path: Path(path).stat().st_size,
    "remove": lambda path: Path(path).unlink(),
    "rename": lambda path: Path(path).rename(path + ".moved"),
    "link": lambda path: Path(path + ".link").symlink_to(path),
    "folder": lambda path: Path(path + ".folder").mkdir(),
    "mode": lambda path: Path(path).chmod(0o600),
    "connect": _connect,
    "datagram": _datagram,
    "unix": _unix,
    "bind": _bind,
    "pair": lambda: socket.socketpair() and "done",
    "fork": _fork,
    "spawn": _spawn,
    "signal": lambda pid: os.kill(pid, signal.SIGTERM),
    "memory-file": lambda: os.memfd_create("code"),
    "executable-memory": _executable_memory,
    "descriptors": _descriptors,
    "raise-limits": _raise_limits,
    "dumpable": lambda: _checked(_LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)),
    "rename-self": lambda: _checked(_LIBC.prctl(_PR_SET_NAME, b"init", 0, 0, 0)),
    "priority": lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19),
    "affinity": lambda: os.sched_setaffinity(0, {0}),
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "call": call,
    "other-interface": lambda: _called(_X32 | 39),
    "burn": _burn,
    "processor-limit": _processor_limit,
    "held": _held,
    "end": _ended_by,
    "variables": lambda: sorted(os.environ),
}


def build_decoder() -> Callable[[Any, Callable[[Progress], None]], Any]:
    """A factory of what decodes clips and pictures."""
    return lambda job, report: decoded(*job)


def decoded(data: bytes) -> tuple[int | str, str]:
    """How many frames the bytes have as a clip, and the size they have as a picture; or the code of what is wrong."""
    limits = MediaLimits(clip_seconds=60, clip_frames=2000, frame_pixels=1 << 20)
    answers: list[Any] = []
    for read in (lambda: sum(1 for _ in open_clip(data, limits)), lambda: str(read_picture(data, limits).luma.shape)):
        try:
            answers.append(read())
        except MediaError as error:
            answers.append(error.code)
    return answers[0], answers[1]
