"""Landlock: no file can be opened, made or removed any more, whatever call is used (landlock(7)).

Where the kernel has a newer version of it, no TCP port can be taken or reached, and no signal and no connection by an
abstract name leaves the process.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass

from server.sandbox.kernel import syscall
from server.sandbox.syscalls import Machine

_ASK_VERSION = 1
_FILES_BY_VERSION = ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
"""Rights by the version that brought them: thirteen, moving to another folder, truncating, controls of devices."""
_NETWORK_FROM, _BIND_AND_CONNECT_TCP = 4, 0b11
_SCOPE_FROM, _ABSTRACT_SOCKETS_AND_SIGNALS = 6, 0b11


@dataclass(frozen=True, slots=True)
class Restricted:
    """What the kernel's version of Landlock could take away besides files."""

    version: int

    @property
    def network(self) -> bool:
        """Whether TCP ports are out of reach."""
        return self.version >= _NETWORK_FROM

    @property
    def scope(self) -> bool:
        """Whether signals and abstract sockets of others are out of reach."""
        return self.version >= _SCOPE_FROM


class _Handled(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scope", ctypes.c_uint64)]


def restrict(machine: Machine) -> Restricted:
    """Take all of it from the calling thread and those that it starts, for good; privileges must be forbidden before.

    Raises `OSError` where the kernel does not have it, has it switched off or refuses.
    """
    create = machine.landlock_create_ruleset
    version = syscall(create, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    found = Restricted(version)
    handled = _Handled(
        files=sum(rights for since, rights in _FILES_BY_VERSION if since <= version),
        network=_BIND_AND_CONNECT_TCP if found.network else 0,
        scope=_ABSTRACT_SOCKETS_AND_SIGNALS if found.scope else 0,
    )
    # An older kernel takes a longer structure whose end is zero.
    ruleset = syscall(create, ctypes.byref(handled), ctypes.c_size_t(ctypes.sizeof(handled)), ctypes.c_uint32(0))
    try:
        syscall(machine.landlock_restrict_self, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return found
