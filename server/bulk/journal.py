"""What has been recorded of which clip, and what is still to be looked at: an SQLite database beside the results.

The journal is the truth: a line of the results counts once the journal knows its place, and lengths of files are those
that it holds. SQLite brings each transaction to the disk before it answers (WAL with synchronous=FULL,
https://www.sqlite.org/pragma.html), so that neither a kill nor a loss of power leaves half of one.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from server.bulk.errors import ResultsBroken, unwritable
from server.bulk.outcomes import Stamp

# Exclusive first: the log then needs no memory shared with others, which network file systems lack. Nothing goes to the
# folder of temporary files, since names of clips may name persons.
_PRAGMAS = """
PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;
"""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (file TEXT PRIMARY KEY, size INTEGER NOT NULL, moving INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS clips (
  name TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL,
  file TEXT NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL, fresh INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS queue (position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, path BLOB NOT NULL);
"""
# Where each line of a file would start if its clips were in the order of their names, with nothing between them.
_PLACES = """
SELECT name, start, length, sum(length) OVER (ORDER BY name ROWS UNBOUNDED PRECEDING) - length AS place
FROM clips WHERE file = :file
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A clip of the queue. `stamp` and `file` are of what was recorded of it, None where nothing was."""

    position: int
    name: str
    path: bytes
    stamp: Stamp | None
    file: str | None


class Journal:
    """The database at `path`, of results that are in `files`. For one process, any of its threads.

    Methods raise `ResultsUnwritable`; the constructor raises `ResultsBroken` for a file that is none of ours.
    """

    def __init__(self, path: Path, files: Sequence[str]) -> None:
        self._folder = path.parent
        self._turn = threading.Lock()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        with self._doing():
            try:
                self._database.executescript(_PRAGMAS + _SCHEMA)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                raise ResultsBroken(f"{path} is no journal of results; --fresh begins anew", stage="results") from None
            self._database.executemany("INSERT OR IGNORE INTO files (file, size) VALUES (?, 0)", [(x,) for x in files])

    def close(self) -> None:
        """Write what is in the log back, and give the file back."""
        with self._turn:
            self._database.close()

    def enqueue(self, clips: Iterable[tuple[str, bytes]]) -> int:
        """Take names and paths in place of the queue there was, each name once; how many they are."""
        with self._transaction():
            self._database.execute("DELETE FROM queue")
            self._database.executemany("INSERT OR IGNORE INTO queue (name, path) VALUES (?, ?)", clips)
            # What was recorded by this run is not looked at twice, whatever became of it.
            self._database.execute("UPDATE clips SET fresh = 0 WHERE fresh")
            (count,) = self._database.execute("SELECT count(*) FROM queue").fetchone()
        return int(count)

    def waiting(self, after: int, most: int) -> list[Waiting]:
        """The next clips of the queue behind `after` that this run has not recorded."""
        with self._doing():
            rows = self._database.execute(
                "SELECT q.position, q.name, q.path, c.size, c.mtime_ns, c.sha256, c.file FROM queue q "
                "LEFT JOIN clips c ON c.name = q.name "
                "WHERE q.position > ? AND NOT ifnull(c.fresh, 0) ORDER BY q.position LIMIT ?",
                (after, most),
            ).fetchall()
        return [
            Waiting(position, name, path, None if file is None else Stamp(size, mtime, sha256), file)
            for position, name, path, size, mtime, sha256, file in rows
        ]

    def size(self, file: str) -> int:
        """How many bytes of a file count."""
        with self._doing():
            (size,) = self._database.execute("SELECT size FROM files WHERE file = ?", (file,)).fetchone()
        return int(size)

    def record(self, name: str, stamp: Stamp, file: str, length: int) -> None:
        """A line of `length` bytes was appended to `file`; it replaces what was recorded of that clip."""
        with self._transaction():
            self._database.execute(
                "INSERT OR REPLACE INTO clips (name, size, mtime_ns, sha256, file, start, length, fresh) "
                "SELECT ?, ?, ?, ?, file, size, ?, 1 FROM files WHERE file = ?",
                (name, stamp.size, stamp.mtime_ns, stamp.sha256, length, file),
            )
            self._database.execute("UPDATE files SET size = size + ? WHERE file = ?", (length, file))

    def confirm(self, name: str, stamp: Stamp) -> None:
        """The content is what was recorded, though the file was touched."""
        with self._transaction():
            self._database.execute(
                "UPDATE clips SET size = ?, mtime_ns = ?, fresh = 1 WHERE name = ?", (stamp.size, stamp.mtime_ns, name)
            )

    def in_order(self, file: str) -> bool:
        """Whether the file holds one line of each of its clips, in the order of their names, and nothing else."""
        query = f"SELECT count(*) FILTER (WHERE start <> place), ifnull(sum(length), 0) FROM ({_PLACES})"  # noqa: S608 - ours
        with self._doing():
            misplaced, total = self._database.execute(query, {"file": file}).fetchone()
        return not misplaced and total == self.size(file)

    def ranges(self, file: str) -> Iterator[tuple[int, int]]:
        """Start and size of each line of a file, in the order of names of clips."""
        with self._doing(), closing(self._database.cursor()) as cursor:
            yield from cursor.execute("SELECT start, length FROM clips WHERE file = ? ORDER BY name", (file,))

    def move(self, file: str) -> None:
        """A copy of the file in the order of `ranges` is on the disk, and is about to take its place."""
        with self._transaction():
            self._database.execute(
                f"UPDATE clips SET start = p.place FROM ({_PLACES}) p WHERE clips.name = p.name",  # noqa: S608 - ours
                {"file": file},
            )
            self._database.execute(
                "UPDATE files SET moving = 1, size = (SELECT ifnull(sum(length), 0) FROM clips WHERE file = :file) "
                "WHERE file = :file",
                {"file": file},
            )

    def moving(self, file: str) -> bool:
        """Whether a copy may not have taken its place yet."""
        with self._doing():
            (moving,) = self._database.execute("SELECT moving FROM files WHERE file = ?", (file,)).fetchone()
        return bool(moving)

    def moved(self, file: str) -> None:
        """The copy is in its place."""
        with self._transaction():
            self._database.execute("UPDATE files SET moving = 0 WHERE file = ?", (file,))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._doing():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _doing(self) -> Iterator[None]:
        with self._turn:
            try:
                yield
            except sqlite3.OperationalError as error:
                full = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
                raise unwritable(self._folder, str(error), full=full) from error
