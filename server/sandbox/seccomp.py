"""The filter of a worker's system calls, and how it is put on.

Everything that is not on the list is refused with EPERM, which libraries take as they take a file that is not there:
they go on without it. What only somebody would call who has taken the process over ends it.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterator

from server.sandbox.bpf import Answer, Rule, Test, program
from server.sandbox.kernel import syscall
from server.sandbox.syscalls import LAST_KNOWN, Machine

_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_CLONE_THREAD, _PROT_EXEC = 0x10000, 4


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def worker_filter(machine: Machine) -> bytes:
    """For this process, which must be the one that puts it on, since it may send signals to itself alone."""
    return program(machine.audit, _rules(machine), Answer.NOT_PERMITTED, last_known=LAST_KNOWN)


def put_on(machine: Machine, code: bytes) -> None:
    """On all threads of this process, for good. Raises `OSError` where the kernel does not have it or refuses."""
    filled = _Program(len(code) // 8, code)
    syscall(machine.seccomp, ctypes.c_ulong(_SET_MODE_FILTER), ctypes.c_ulong(_ALL_THREADS), ctypes.byref(filled))


def _rules(machine: Machine) -> Iterator[Rule]:
    for number in machine.allowed.values():
        yield Rule(number, Answer.ALLOW)
    ruled = machine.ruled
    for name in ("mmap", "mprotect"):
        # No new code: what was loaded before the first job is all that can ever run.
        yield Rule(ruled[name], Answer.NOT_PERMITTED, [Test(2, _PROT_EXEC, bits=True)], Answer.ALLOW)
    yield Rule(ruled["clone"], Answer.ALLOW, [Test(0, _CLONE_THREAD, bits=True)])
    # What it asks for lies behind a pointer; libraries then ask by `clone`.
    yield Rule(ruled["clone3"], Answer.NOT_THERE)
    for name in ("kill", "tgkill"):
        yield Rule(ruled[name], Answer.ALLOW, [Test(0, os.getpid())])
    own = Test(0, 0)
    yield Rule(ruled["prlimit64"], Answer.ALLOW, [own, Test(1, resource.RLIMIT_CPU)])
    reading = (Test(2, 0), Test(2, 0, upper=True))
    yield Rule(ruled["prlimit64"], Answer.ALLOW, [own, *reading])
    for number in machine.fatal.values():
        yield Rule(number, Answer.KILL)
