"""What keeps pictures inside the process that holds them, and for no longer than it needs them.

Nothing here is a setting: each part costs little, and where the system does not know one it is left out.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from collections.abc import Mapping

_PR_SET_DUMPABLE = 4
_M_PERTURB = -6
_FILL = 0xA5
_BLOCK = bytes(1 << 16)
_TUNABLES = "GLIBC_TUNABLES"


def forbid_dumps() -> None:
    """Let this process leave no core dump, whoever would take it, and no other process of its user read its memory.

    A limit of zero alone does not keep a dump from a program that `core_pattern` pipes it to (core(5)); a process that
    is not dumpable has none (prctl(2)). Its directory in /proc then belongs to root, but stat, statm and status are
    still for everybody.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0)


def overwrite_freed_memory() -> None:
    """Let the C library overwrite memory as it is given back, for copies that are nobody's to wipe: those that parsers,
    pipes and decoders make. Does nothing where that library is not GNU's (mallopt(3)).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_PERTURB, _FILL)


def return_freed_memory() -> None:
    """Hand the system back what was freed, so that a process does not stay as large as its largest job made it. Does
    nothing where the C library is not GNU's (malloc_trim(3)).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def overwriting(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that does the same from its start, for the smallest pieces of memory as well.

    Those are kept in a cache of each thread that is not overwritten, unless it is of no size from the start.
    """
    own = (f"glibc.malloc.perturb={_FILL}", "glibc.malloc.tcache_count=0")
    return {**environment, _TUNABLES: ":".join(filter(None, (environment.get(_TUNABLES), *own)))}


def wipe(*buffers: object) -> None:
    """Overwrite with zeros whatever of `buffers` is a bytearray; nothing else can be."""
    for buffer in buffers:
        if isinstance(buffer, bytearray):
            view = memoryview(buffer)
            for start in range(0, len(buffer), len(_BLOCK)):
                piece = view[start : start + len(_BLOCK)]
                piece[:] = _BLOCK[: len(piece)]
