"""The layers of a worker's sandbox, put on as far as this machine has them."""

from __future__ import annotations

import os
from pathlib import Path

from server.sandbox.confinement import FILES, NETWORK, PRIVILEGES, SIGNALS, SYSCALLS, Confinement, Mode
from server.sandbox.kernel import forbid_privileges, told
from server.sandbox.landlock import restrict
from server.sandbox.limits import limit_files
from server.sandbox.seccomp import put_on, worker_filter
from server.sandbox.syscalls import Machine, machine


def enter(mode: Mode) -> Confinement:
    """Leave this process the work on what it already holds, for good. Everything must be loaded and open by now.

    Where the mode is `off`, only its resources are limited.
    """
    limit_files()
    if mode == "off":
        return _without((PRIVILEGES, FILES, NETWORK, SIGNALS, SYSCALLS), "switched off")
    if not forbid_privileges():
        return _without((PRIVILEGES, FILES, NETWORK, SIGNALS, SYSCALLS), "the kernel has no no_new_privs")
    found = machine()
    if found is None:
        uname = os.uname()
        return _without((FILES, NETWORK, SIGNALS, SYSCALLS), f"not made for {uname.sysname} on {uname.machine}")
    # In this order: the filter refuses what Landlock is put on with.
    missing = _landlock(found)
    return Confinement(missing | _seccomp(found))


def _without(layers: tuple[str, ...], reason: str) -> Confinement:
    return Confinement(dict.fromkeys(layers, reason))


def _landlock(found: Machine) -> dict[str, str]:
    if (others := _threads() - 1) > 0:
        # It would hold for this one alone.
        return dict.fromkeys((FILES, NETWORK, SIGNALS), f"other threads were running: {others}")
    try:
        restricted = restrict(found)
    except OSError as error:
        return dict.fromkeys((FILES, NETWORK, SIGNALS), f"Landlock: {told(error)}")
    since = f"Landlock of this kernel has version {restricted.version}"
    network = {} if restricted.network else {NETWORK: f"{since}, 4 is needed"}
    return network | ({} if restricted.scope else {SIGNALS: f"{since}, 6 is needed"})


def _seccomp(found: Machine) -> dict[str, str]:
    try:
        put_on(found, worker_filter(found))
    except OSError as error:
        return {SYSCALLS: f"seccomp: {told(error)}"}
    return {}


def _threads() -> int:
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return 1
