"""A folder of results: one run writes to it at a time, and whatever ends that run, the next one goes on from there."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from server.bulk import manifest as manifests
from server.bulk.errors import ResultsInUse, writing
from server.bulk.journal import Journal, Waiting
from server.bulk.lines import Lines, replace
from server.bulk.outcomes import Clip, Outcome, Stamp
from server.bulk.tables import rows_of, write_json_lines, write_parquet
from server.errors import OptionError
from server.report.export import as_dict

Format: TypeAlias = Literal["jsonl", "parquet", "both"]
REPORTS, ERRORS = "reports.jsonl", "errors.jsonl"
EVENTS, EVENTS_PARQUET, MANIFEST = "events.jsonl", "events.parquet", "manifest.json"
_JOURNAL, _LOCK = "journal.sqlite", "lock"
_OURS = (REPORTS, ERRORS, EVENTS, EVENTS_PARQUET, MANIFEST, _JOURNAL, f"{_JOURNAL}-wal", f"{_JOURNAL}-journal")
_DRAFTS = (f"{REPORTS}.new", f"{ERRORS}.new", f"{EVENTS}.new", f"{EVENTS_PARQUET}.new", "manifest.new")
_PAGE = 256


@dataclass(slots=True)
class Summary:
    """What is in a folder of results: clips with a report, their seconds of film, events by label, failures by code."""

    clips: int = 0
    film_s: float = 0.0
    events: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the queue: clips to look at, how many more are done already, and `last`, the place of the last of all."""

    clips: list[Clip]
    done: int
    last: int


class Results:
    """The folder, held until `close`. What was left half done is undone or finished first.

    Raises `ResultsInUse`, `ResultsBroken`, `ResultsUnwritable`; `OptionError` where the folder holds something else.
    With `fresh`, what a run left there is thrown away.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self._folder = folder
        self._writing = threading.Lock()
        self._open = ExitStack()
        with self._open:
            self._lock()
            self._claim(fresh=fresh)
            self._journal = Journal(folder / _JOURNAL, (REPORTS, ERRORS))
            self._open.callback(self._journal.close)
            self._files = {name: self._opened(name) for name in (REPORTS, ERRORS)}
            # What was opened stays so, unless something above failed.
            self._open = self._open.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let others write here; a record that is being written is finished first."""
        with self._writing:
            self._open.close()
            self._files = {}

    @property
    def manifest(self) -> dict[str, Any] | None:
        """What the run before has left. Raises `ResultsBroken`."""
        return manifests.read(self._folder / MANIFEST)

    def begin(self, manifest: dict[str, Any]) -> None:
        """Let results be of `manifest`. Raises `OptionError` where they are of another one."""
        before = self.manifest
        if before is not None:
            manifests.check_same(before, manifest)
        manifests.write(self._folder / MANIFEST, {**manifest, "finished": False})

    def enqueue(self, clips: Iterable[tuple[str, bytes]]) -> int:
        """What this run shall look at, names and paths; how many they are, each once."""
        return self._journal.enqueue(clips)

    def page(self, after: int, *, retry_failed: bool) -> Page | None:
        """What comes in the queue after the place `after`; None at its end."""
        rows = self._journal.waiting(after, _PAGE)
        clips = [clip for row in rows if (clip := _to_look_at(row, retry_failed=retry_failed))]
        return Page(clips, len(rows) - len(clips), rows[-1].position) if rows else None

    def record(self, outcome: Outcome) -> None:
        """Keep what became of a clip, for good once this returns. Does nothing after `close`."""
        with self._writing:
            if not self._files:
                return
            if outcome.report is None and outcome.failure is None:
                self._journal.confirm(outcome.name, outcome.stamp)
                return
            name = REPORTS if outcome.report is not None else ERRORS
            line = _line(outcome)
            file = self._files[name]
            file.append(line)
            try:
                self._journal.record(outcome.name, outcome.stamp, name, len(line))
            except BaseException:
                file.cut()
                raise
            file.keep(len(line))

    def finish(self, wanted: Format, *, complete: bool) -> Summary:
        """Put every file in the order of names, without what was replaced, and write the tables of events.

        `complete` says whether all of the queue was looked at.
        """
        for name in self._files:
            self._settle(name)
        tables = {EVENTS: write_json_lines, EVENTS_PARQUET: write_parquet}
        kept = {"jsonl": {EVENTS}, "parquet": {EVENTS_PARQUET}, "both": {*tables}}[wanted]
        for name, write in tables.items():
            if name in kept:
                write(self._events(), self._folder / name)
            else:
                (self._folder / name).unlink(missing_ok=True)
        summary = self._summary()
        counts = {"reports": summary.clips, "failures": sum(summary.failures.values())}
        if manifest := self.manifest:
            manifests.write(self._folder / MANIFEST, {**manifest, "finished": complete, "clips": counts})
        return summary

    def failures(self) -> Iterator[dict[str, Any]]:
        """Every line of the errors."""
        return map(json.loads, self._files[ERRORS].lines())

    def _lock(self) -> None:
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._open.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResultsInUse(f"{self._folder} is being written by another run", stage="results") from None

    def _claim(self, *, fresh: bool) -> None:
        there = {entry.name for entry in self._folder.iterdir()}
        if fresh:
            with writing(self._folder):
                for name in sorted(there.intersection({*_OURS, *_DRAFTS})):
                    (self._folder / name).unlink()
        elif _JOURNAL not in there and there - {_LOCK}:
            raise OptionError(f"{self._folder} holds something else than results; name another folder", option="out")

    def _opened(self, name: str) -> Lines:
        path, copy = self._folder / name, self._folder / f"{name}.new"
        if self._journal.moving(name):
            if copy.exists():
                replace(copy, path)
            self._journal.moved(name)
        file = Lines(path, self._journal.size(name))
        self._open.callback(file.close)
        return file

    def _settle(self, name: str) -> None:
        if self._journal.in_order(name):
            return
        path, copy = self._folder / name, self._folder / f"{name}.new"
        self._files[name].copied(self._journal.ranges(name), copy)
        self._journal.move(name)
        replace(copy, path)
        self._journal.moved(name)
        self._files[name].reopen(self._journal.size(name))

    def _events(self) -> Iterator[dict[str, Any]]:
        for line in self._files[REPORTS].lines():
            yield from rows_of(json.loads(line))

    def _summary(self) -> Summary:
        summary = Summary()
        for report in map(json.loads, self._files[REPORTS].lines()):
            summary.clips += 1
            summary.film_s += report["clip"]["duration_s"]
            summary.events.update("withheld" if event["abstained"] else event["label"] for event in report["events"])
        summary.failures.update(failure["code"] for failure in self.failures())
        return summary


def _to_look_at(row: Waiting, *, retry_failed: bool) -> Clip | None:
    """None for a clip that has its result already."""
    again = row.stamp is None or (retry_failed and row.file == ERRORS)
    if not again and row.stamp == _stamp_now(row.path, row.stamp):
        return None
    return Clip(row.name, row.path, "" if again or row.stamp is None else row.stamp.sha256)


def _stamp_now(path: bytes, before: Stamp | None) -> Stamp | None:
    """What a file looks like from outside, with the content it had; as before where it cannot be looked at."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a path of bytes
    except OSError:
        return before  # what was recorded of a file outlives it
    return Stamp(status.st_size, status.st_mtime_ns, before.sha256 if before else "")


def _line(outcome: Outcome) -> bytes:
    head = {"path": outcome.name, "sha256": outcome.stamp.sha256}
    if outcome.report is not None:
        line = {**head, **as_dict(outcome.report)}
    else:
        assert outcome.failure is not None
        failure = outcome.failure
        line = {**head, "code": failure.code, "stage": failure.stage, "message": failure.message, **failure.details}
    return json.dumps(line, allow_nan=False).encode() + b"\n"
