"""Messages between the gateway and one worker, over a pipe each way.

Large `bytes` (a clip) travel beside the pickle, as they are, so that neither end holds a second copy, and arrive as a
bytearray, which can be wiped. A pickle may name only the values of the pipeline and numpy arrays: what decodes a
stranger's file must not be able to run code in the gateway by its answer.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import multiprocessing
import os
import pickle
from dataclasses import dataclass, is_dataclass
from multiprocessing.connection import Connection
from typing import Any

from server.errors import GlimpseError
from server.sandbox.confinement import Bounds, Confinement
from server.types import Progress

_BESIDE_FROM_BYTES = 1 << 16
_SIZE_BYTES = 8
_PIPE_BYTES = 1 << 20
"""The most that Linux grants without privileges."""
_MODULES = frozenset(
    {
        "server.errors",
        "server.media.limits",
        "server.pipeline.jobs",
        "server.pipeline.live_jobs",
        "server.sandbox.confinement",
        "server.streams",
        "server.types",
        "server.visuals",
        __name__,
    }
)
_FUNCTIONS = frozenset(
    {
        ("server.errors", "_rebuild"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
    }
)


@dataclass(frozen=True, slots=True)
class Start:
    """First message to a worker. `factory` is pickled apart, so that the worker can report when it cannot load it."""

    factory: bytes
    bounds: Bounds
    parent: int


@dataclass(frozen=True, slots=True)
class Job:
    """Work to do; every answer carries its `number`."""

    number: int
    payload: Any


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop at the next report of progress."""

    number: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The handler was built, and this confines what it does from now on."""

    confinement: Confinement


@dataclass(frozen=True, slots=True)
class StartFailed:
    """The handler could not be built."""

    reason: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """The handler reported progress."""

    number: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class Done:
    """The handler returned."""

    number: int
    result: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """The handler raised an error of the tree."""

    number: int
    error: GlimpseError


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised anything else: its type and where, but not its text, which may hold what was in the clip."""

    number: int
    kind: str
    locations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """The worker reached its memory limit and ends."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The job was cancelled and the worker is free."""

    number: int


class MessagePipe:
    """One end. One thread may send while another receives."""

    def __init__(self, reader: Connection, writer: Connection) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    def pair(cls) -> tuple[MessagePipe, MessagePipe]:
        """Both ends."""
        (here, there), (back, forth) = multiprocessing.Pipe(duplex=False), multiprocessing.Pipe(duplex=False)
        for writer in (there, forth):
            # The next pictures of a live stream wait in the pipe; a worker would else wait for each of their pieces.
            with contextlib.suppress(OSError, AttributeError):
                fcntl.fcntl(writer.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return cls(here, forth), cls(back, there)

    @classmethod
    def of(cls, reader: int, writer: int) -> MessagePipe:
        """The end with those `descriptors`, in another process."""
        return cls(Connection(reader, writable=False), Connection(writer, readable=False))

    @property
    def descriptors(self) -> tuple[int, int]:
        """Where it reads and where it writes."""
        return self._reader.fileno(), self._writer.fileno()

    def send(self, message: object) -> None:
        """Blocks until the other end has taken it. Raises `OSError` when that is gone, or what pickling raises."""
        pickled = io.BytesIO()
        pickler = _Pickler(pickled)
        pickler.dump(message)
        # Everything is pickled before the first byte leaves: a value that cannot be pickled leaves the pipe intact.
        sizes = b"".join(len(blob).to_bytes(_SIZE_BYTES) for blob in pickler.beside)
        self._writer.send_bytes(len(pickler.beside).to_bytes(_SIZE_BYTES) + sizes + pickled.getbuffer())
        for blob in pickler.beside:
            _write(self._writer.fileno(), memoryview(blob))

    def receive(self, most_bytes: int | None = None) -> Any:
        """Blocks for the next message. Raises `EOFError` or `OSError` when the other end is gone, and what unpickling
        raises, also for a message that is larger than `most_bytes`, none of which is then taken.
        """
        head = self._reader.recv_bytes(most_bytes)
        start = min(len(head), _SIZE_BYTES * (1 + int.from_bytes(head[:_SIZE_BYTES])))
        sizes = [int.from_bytes(head[at : at + _SIZE_BYTES]) for at in range(_SIZE_BYTES, start, _SIZE_BYTES)]
        if most_bytes is not None and len(head) + sum(sizes) > most_bytes:
            raise pickle.UnpicklingError(f"a message of more than {most_bytes} bytes may not cross the pipe")
        beside = [_read(self._reader.fileno(), size) for size in sizes]
        return _Unpickler(io.BytesIO(head[start:]), beside).load()

    def waiting(self) -> bool:
        """Whether a message, or the end, can be received at once."""
        return self._reader.poll(0)

    def close(self) -> None:
        """Release this end."""
        self._reader.close()
        self._writer.close()


def _write(descriptor: int, view: memoryview) -> None:
    while view:
        view = view[os.write(descriptor, view) :]


def _read(descriptor: int, size: int) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = os.readv(descriptor, [view])
        if not count:
            raise EOFError
        view = view[count:]
    return buffer


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.beside: list[bytes | bytearray] = []

    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, bytes | bytearray) or len(obj) < _BESIDE_FROM_BYTES:
            return None
        self.beside.append(obj)
        return len(self.beside) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, beside: list[bytearray]) -> None:
        super().__init__(file)
        self._beside = beside

    def persistent_load(self, pid: int) -> bytearray:
        return self._beside[pid]

    def find_class(self, module: str, name: str) -> Any:
        if "." not in name and (module in _MODULES or (module, name) in _FUNCTIONS):
            found = super().find_class(module, name)
            if (module, name) in _FUNCTIONS or _is_value(found, module):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} may not cross the pipe")


def _is_value(found: object, module: str) -> bool:
    """Whether it is a class of ours for plain values: not something that its module imported, and nothing whose
    attributes a pickle could replace for everybody (`BUILD` on a class sets them there, unless the class restores its
    values in its own way).
    """
    if not isinstance(found, type) or found.__module__ != module:
        return False
    return issubclass(found, GlimpseError) or (is_dataclass(found) and hasattr(found, "__setstate__"))
