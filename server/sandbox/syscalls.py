"""Which system calls a worker may make once it takes jobs, and their numbers on each architecture.

The list is what decoding, the face networks, flow and recipes were seen to call (strace over every codec, recipe, form
of picture and a live stream), and what the C libraries call for memory, threads, time and signals in other versions.
"""

from __future__ import annotations

import platform
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass

LAST_KNOWN = 462
"""Of Linux 6.10 (mseal). Libraries try newer calls and go back to older ones when the kernel says that it has none."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Numbers of system calls. `audit` is the kernel's name of the architecture (linux/audit.h)."""

    audit: int
    landlock_create_ruleset: int
    landlock_restrict_self: int
    seccomp: int
    allowed: Mapping[str, int]
    """May be made with any arguments."""
    ruled: Mapping[str, int]
    """May be made with some arguments; see `server.sandbox.seccomp`."""
    fatal: Mapping[str, int]
    """No library makes them by the way: who does has taken the process over, and it ends."""


_SAME_EVERYWHERE = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_getfd": 438, "process_madvise": 440,
    "mount_setattr": 442,
}  # fmt: skip

_X86_64 = Machine(
    audit=0xC000003E,
    landlock_create_ruleset=444,
    landlock_restrict_self=446,
    seccomp=317,
    allowed={
        "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "munmap": 11, "brk": 12,
        "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "readv": 19, "writev": 20, "select": 23,
        "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "exit": 60, "uname": 63,
        "gettimeofday": 96, "getrusage": 98, "sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107,
        "getegid": 108, "getppid": 110, "sigaltstack": 131, "gettid": 186, "futex": 202, "sched_getaffinity": 204,
        "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231,
        "pselect6": 270, "ppoll": 271, "set_robust_list": 273, "getcpu": 309, "getrandom": 318, "membarrier": 324,
        "rseq": 334,
    },
    ruled={
        "mmap": 9, "mprotect": 10, "clone": 56, "kill": 62, "tgkill": 234, "prlimit64": 302, "clone3": 435,
    },
    fatal={
        "execve": 59, "ptrace": 101, "modify_ldt": 154, "pivot_root": 155, "mount": 165, "umount2": 166, "reboot": 169,
        "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176, "kexec_load": 246, "add_key": 248,
        "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298, "name_to_handle_at": 303,
        "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "finit_module": 313,
        "kexec_file_load": 320, "bpf": 321, "execveat": 322, "userfaultfd": 323, **_SAME_EVERYWHERE,
    },
)  # fmt: skip

_AARCH64 = Machine(
    audit=0xC00000B7,
    landlock_create_ruleset=444,
    landlock_restrict_self=446,
    seccomp=277,
    allowed={
        "close": 57, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66, "pselect6": 72, "ppoll": 73,
        "fstat": 80, "exit": 93, "exit_group": 94, "futex": 98, "set_robust_list": 99, "nanosleep": 101,
        "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124,
        "restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139,
        "times": 153, "uname": 160, "getrusage": 165, "getcpu": 168, "gettimeofday": 169, "getpid": 172, "getppid": 173,
        "getuid": 174, "geteuid": 175, "getgid": 176, "getegid": 177, "gettid": 178, "sysinfo": 179, "brk": 214,
        "munmap": 215, "mremap": 216, "madvise": 233, "getrandom": 278, "membarrier": 283, "rseq": 293,
    },
    ruled={
        "kill": 129, "tgkill": 131, "clone": 220, "mmap": 222, "mprotect": 226, "prlimit64": 261, "clone3": 435,
    },
    fatal={
        "umount2": 39, "mount": 40, "pivot_root": 41, "unshare": 97, "kexec_load": 104, "init_module": 105,
        "delete_module": 106, "ptrace": 117, "reboot": 142, "add_key": 217, "request_key": 218, "keyctl": 219,
        "execve": 221, "perf_event_open": 241, "name_to_handle_at": 264, "open_by_handle_at": 265, "setns": 268,
        "process_vm_readv": 270, "process_vm_writev": 271, "finit_module": 273, "bpf": 280, "execveat": 281,
        "userfaultfd": 282, "kexec_file_load": 294, **_SAME_EVERYWHERE,
    },
)  # fmt: skip

_MACHINES: Mapping[str, Machine] = {"x86_64": _X86_64, "aarch64": _AARCH64}


def machine() -> Machine | None:
    """That of this process; None where its calls are not known here."""
    wide = struct.calcsize("P") == 8
    return _MACHINES.get(platform.machine()) if sys.platform == "linux" and wide else None
