"""Calls to the kernel that Python has no name for."""

from __future__ import annotations

import ctypes
import errno
import os

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS = 1, 38, 39


def syscall(number: int, *arguments: object) -> int:
    """Raises `OSError` where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result = int(libc.syscall(ctypes.c_long(number), *arguments))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def die_with_parent(signal: int) -> None:
    """Get `signal` when the thread that started this process ends."""
    _prctl(_PR_SET_PDEATHSIG, signal)


def forbid_privileges() -> bool:
    """No program that is executed from here on gains any; whether the kernel knows this."""
    return _prctl(_PR_SET_NO_NEW_PRIVS, 1) == 0 and _prctl(_PR_GET_NO_NEW_PRIVS) == 1


def told(error: OSError) -> str:
    """Why a call was refused, for an operator."""
    known = {
        errno.ENOSYS: "the kernel does not have it",
        errno.EOPNOTSUPP: "the kernel has it switched off",
        errno.EPERM: "what surrounds this process does not permit it",
    }
    return known.get(error.errno or 0, os.strerror(error.errno or 0))


def _prctl(option: int, argument: int = 0) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (ctypes.c_ulong(argument), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    return int(libc.prctl(ctypes.c_int(option), *arguments))
