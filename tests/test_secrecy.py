"""What keeps pictures inside a process."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server.secrecy import overwriting, wipe
from tests import residue

_ABORT = """
import os, resource
resource.setrlimit(resource.RLIMIT_CORE, ({0}, resource.getrlimit(resource.RLIMIT_CORE)[1]))
{1}
os.abort()
"""
_HOLD = """
import ctypes, sys
from server.secrecy import overwrite_freed_memory
{0}
size = int(sys.argv[1])
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
address = libc.malloc(size)
ctypes.memset(address, 0x77, size)
libc.free(address)
# The first words of what is free are the allocator's own.
print(ctypes.string_at(address + 64, size - 128).count(0x77))
"""


def test_a_wiped_buffer_holds_nothing():
    """Of any length; what is no bytearray cannot be wiped and is left alone."""
    for size in (0, 1, 65536, 100_001):
        buffer = bytearray(b"x" * size)
        wipe(buffer, b"bytes", None)
        assert buffer == bytes(size)


@pytest.mark.parametrize("size", [4096, 60_000])
def test_freed_memory_is_overwritten(size):
    """What was freed reads as before in an ordinary process, and is gone after `overwrite_freed_memory`."""
    left = {
        how: int(
            subprocess.run([sys.executable, "-c", _HOLD.format(how), str(size)], check=True, capture_output=True).stdout
        )
        for how in ("", "overwrite_freed_memory()")
    }
    assert left[""] > 0
    assert left["overwrite_freed_memory()"] == 0


def test_a_worker_overwrites_from_its_start():
    """Also the smallest pieces, which are cached by thread; what the operator tunes is kept."""
    environment = overwriting({"GLIBC_TUNABLES": "glibc.malloc.check=0", "HOME": "/x"})
    assert environment["GLIBC_TUNABLES"].startswith("glibc.malloc.check=0:glibc.malloc.perturb=")
    assert environment["HOME"] == "/x"
    for size in ("200", "4096"):
        done = subprocess.run(
            [sys.executable, "-c", _HOLD.format(""), size], env=overwriting(os.environ), check=True, capture_output=True
        )
        assert int(done.stdout) == 0


def _aborted(folder: Path, before: str, limit: str) -> list[Path]:
    script = _ABORT.format(limit, before)
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.returncode == -signal.SIGABRT
    return list(folder.iterdir())


def test_an_abort_leaves_no_core_dump(tmp_path):
    """Also where limits would allow one, in which an ordinary process leaves one."""
    forbid = "from server.secrecy import forbid_dumps; forbid_dumps()"
    assert _aborted(tmp_path, forbid, "0") == []
    # Without the limit, as where `core_pattern` names a program, which the limit does not bind.
    unbound = f"resource.setrlimit = lambda *_: None; {forbid}"
    assert _aborted(tmp_path, unbound, "resource.getrlimit(resource.RLIMIT_CORE)[1]") == []
    pattern = Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii").strip()
    if "/" not in pattern and "|" not in pattern and resource.getrlimit(resource.RLIMIT_CORE)[1]:
        assert _aborted(tmp_path, "pass", "resource.getrlimit(resource.RLIMIT_CORE)[1]") != []


def _readable(before: str) -> bool:
    command = [sys.executable, "-c", f"{before}; print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        readable = residue.can_be_read(process.pid)
        assert int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1]) > 0
        process.communicate(b"\n")
    return readable


def test_another_process_of_the_user_cannot_read_it():
    """Nor attach to it, unless an administrator does; an ordinary process is open to it, where the kernel lets anybody
    attach at all. How much memory it has can still be seen.
    """
    assert not _readable("from server.secrecy import forbid_dumps; forbid_dumps()")
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if not scope.exists() or scope.read_text(encoding="ascii").strip() == "0":
        assert _readable("pass")


def test_what_was_freed_is_handed_back():
    """A process that held much and freed it between things that stay is nearly as small as before."""
    script = """
import ctypes, os
from pathlib import Path
from server.secrecy import return_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
libc.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
pieces = [libc.malloc(65536) for _ in range(1000)]
for piece in pieces:
    libc.memset(piece, 1, 65536)
for piece in pieces[:-1]:
    libc.free(piece)
before = resident()
return_freed_memory()
print(before - resident())
"""
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True
    )
    assert int(done.stdout) > 30_000_000
