"""A file of JSON lines that is only ever as long as its journal says."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from server.bulk.errors import ResultsBroken, writing

_BLOCK = 1 << 20


class Lines:
    """Lines are appended to `path` in two steps: written and synchronised, then kept, once the journal has them.

    What a run that ended between the two left behind is cut off when the file is opened with the `length` that the
    journal knows. Raises `ResultsBroken` where the file is shorter, and `ResultsUnwritable`, also from each method.
    """

    def __init__(self, path: Path, length: int) -> None:
        self._path = path
        self._open(length)

    def _open(self, length: int) -> None:
        self.length = length
        with writing(self._path.parent):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            if os.fstat(self._file).st_size < length:
                os.close(self._file)
                message = f"{self._path} is shorter than it was left; --fresh begins anew"
                raise ResultsBroken(message, stage="results")
            self.cut()
            sync_folder(self._path.parent)

    def reopen(self, length: int) -> None:
        """Go on with the file that is in this one's place now."""
        self.close()
        self._open(length)

    def append(self, line: bytes) -> None:
        """Write a line behind what is kept, and bring it to the disk."""
        try:
            with writing(self._path.parent):
                _write(self._file, line, self.length)
                os.fsync(self._file)
        except BaseException:
            self.cut()
            raise

    def keep(self, size: int) -> None:
        """The journal has the `size` bytes that were appended."""
        self.length += size

    def cut(self) -> None:
        """Take away what is not kept."""
        os.ftruncate(self._file, self.length)

    def lines(self) -> Iterator[bytes]:
        """All lines that are kept, one at a time."""
        with self._path.open("rb") as file:
            yield from file

    def copied(self, ranges: Iterable[tuple[int, int]], target: Path) -> None:
        """Write the bytes of `ranges`, each a start and a size, to `target`, and bring them to the disk."""
        with writing(self._path.parent):
            try:
                with target.open("wb") as copy:
                    for start, size in ranges:
                        copy.write(os.pread(self._file, size, start))
                    copy.flush()
                    os.fsync(copy.fileno())
            except OSError:
                target.unlink(missing_ok=True)
                raise

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)


def replace(source: Path, target: Path) -> None:
    """Let a file that is on the disk take the place of another, for good. Raises `ResultsUnwritable`."""
    with writing(target.parent):
        source.replace(target)
        sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Bring names of files to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view[:_BLOCK], offset)
        view, offset = view[written:], offset + written
