"""Finds what is left of a secret: in files, in texts and in the memory of processes."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

WIDTH = 8
"""Bytes of a needle: 64 bits, which nothing else has by chance."""
_LEVELS = 7
_CHUNK = 1 << 24
_OVERLAP = 128
_TABLE_BITS = 22


def needles(secret: bytes, stride: int = 64, *, text: bool = False) -> np.ndarray:
    """Needles of `secret`, uint64: any run of `stride + 15` bytes of it holds one where an address divides by eight.

    Those of fewer than seven different bytes are left out, since headers, runs and smooth skin look like that anywhere,
    and, unless the secret is a `text`, those that could be words.
    """
    blocks = np.frombuffer(secret[: len(secret) // stride * stride], dtype=np.uint8).reshape(-1, stride)
    shifts = [np.ascontiguousarray(blocks[:, shift : shift + WIDTH]) for shift in range(WIDTH)]
    every = np.concatenate(shifts)
    ordered = np.sort(every, axis=1)
    different = 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)
    telling = (different >= _LEVELS) & (text | (every >= 0x80).any(axis=1))
    return np.unique(every[telling].view("<u8").ravel())


class Search:
    """Looks for any of `wanted` (see `needles`), but none of `known`, in one pass."""

    def __init__(self, wanted: np.ndarray, known: np.ndarray | None = None) -> None:
        self._wanted = wanted if known is None else np.setdiff1d(wanted, known)
        assert len(self._wanted), "there is nothing to look for"
        self._table = np.zeros(1 << _TABLE_BITS, dtype=np.bool_)
        self._table[self._wanted >> np.uint64(64 - _TABLE_BITS)] = True

    def __or__(self, other: Search) -> Search:
        return Search(np.union1d(self._wanted, other._wanted))

    def __len__(self) -> int:
        return len(self._wanted)

    def count(self, haystack: bytes) -> int:
        """How many words of it are needles; its first byte is taken for that of a word."""
        usable = len(haystack) // WIDTH
        words = np.frombuffer(haystack, dtype="<u8", count=usable)
        likely = words[self._table[words >> np.uint64(64 - _TABLE_BITS)]]
        at = np.searchsorted(self._wanted, likely)
        return int((self._wanted[np.minimum(at, len(self._wanted) - 1)] == likely).sum())

    def of(self, pieces: Iterable[bytes]) -> int:
        """How many words of all pieces are needles."""
        return sum(self.count(piece) for piece in pieces)


def spelled(secret: bytes) -> list[str]:
    """How a text would show some bytes: as hexadecimal, base64 at each offset, escapes or numbers."""
    encoded = [base64.b64encode(secret[offset : offset + len(secret) // 3 * 3 - 3]).decode() for offset in range(3)]
    return [secret.hex(), secret.hex().upper(), *encoded, repr(secret)[2:-1], ", ".join(map(str, secret))]


def written(roots: Sequence[Path], since_ns: int) -> Iterator[Path]:
    """Regular files under `roots` that changed after `since_ns`; of folders, only new ones, and none of tests."""
    for root in roots:
        for path in root.iterdir():
            try:
                state = path.lstat()
                if state.st_mtime_ns < since_ns or path.name.startswith("pytest-"):
                    continue
                if path.is_file() and not path.is_symlink():
                    yield path
                elif path.is_dir() and not path.is_symlink():
                    yield from (each for each in path.rglob("*") if each.is_file() and not each.is_symlink())
            except OSError:
                continue


def content(path: Path) -> Iterator[bytes]:
    """A file in pieces that overlap, so that nothing is cut in two."""
    with suppress(OSError), path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece
            if len(piece) < _CHUNK:
                break
            file.seek(-_OVERLAP, 1)


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children = (task / "children").read_text(encoding="ascii").split()
            found += [member for child in children for member in family(int(child))]
    return found


def opened(pid: int) -> Iterator[Path]:
    """Regular files, shared memory and deleted files that a process holds open for writing, as they can be read."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            flags = int(Path(f"/proc/{pid}/fdinfo/{link.name}").read_text(encoding="ascii").split()[3], 8)
            if flags & 3 and link.is_file():
                yield link


def memory(pid: int) -> Iterator[bytes]:
    """All that a process can write to and has touched; nothing of one that has ended.

    Raises `PermissionError` where the kernel forbids it.
    """
    with suppress(FileNotFoundError, ProcessLookupError), Path(f"/proc/{pid}/mem").open("rb", buffering=0) as mem:
        for start, stop in _touched(pid):
            for at in range(start, stop, _CHUNK):
                mem.seek(at)
                try:
                    yield mem.read(min(_CHUNK, stop - at))
                except OSError:
                    break


def _touched(pid: int) -> Iterator[tuple[int, int]]:
    span, writable = (0, 0), False
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8").splitlines():
        first, *rest = line.split()
        if "-" in first and not first.endswith(":"):
            start, stop = (int(x, 16) for x in first.split("-"))
            span, writable = (start, stop), rest[0].startswith("rw")
        elif first == "Rss:" and int(rest[0]) and writable:
            yield span


_PEEK = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
header, held = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(header, held) == 0
held[0] &= ~(1 << 19)
assert libc.capset(header, held) == 0
libc.ptrace.argtypes = ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p
if libc.ptrace(0x4206, int(sys.argv[1]), None, None):
    assert ctypes.get_errno() == 1, ctypes.get_errno()
    sys.exit(13)
"""
"""Attaches (PTRACE_SEIZE) without CAP_SYS_PTRACE in effect, by which an administrator may attach to anything."""


def can_be_read(pid: int) -> bool:
    """Whether another process of the same user, without the privilege of an administrator, may read its memory."""
    done = subprocess.run([sys.executable, "-c", _PEEK, str(pid)], check=False, timeout=60)
    assert done.returncode in {0, 13}
    return done.returncode == 0
