"""From what a command line names to the files of a corpus, in a stable order."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from server.errors import OptionError

VIDEO_SUFFIXES = frozenset({".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts"})
"""Names of files that a folder is searched for: those of the containers that are decoded (`server.media.container`)."""
_MAGIC = re.compile(r"[*?[]")
_STDIN = "-"


def find(inputs: Sequence[str], lists: Sequence[str] = ()) -> Iterator[Path]:
    """The files that `inputs` (files, folders, patterns, `-` for a list on stdin) and the files `lists` name.

    A folder is walked in the order of names, for files with a video's suffix; a pattern is taken as it is, `**` for any
    folders. Both leave out hidden names and do not enter folders by symbolic links; links to files are followed. A
    file that is named, or listed, one a line, is taken whatever it is. What cannot be read is among the answers, since
    reading it tells why. Raises `OptionError` for a pattern that matches nothing and a list that cannot be read.
    """
    for each in inputs:
        if each == _STDIN:
            yield from _listed(sys.stdin.buffer)
        elif Path(each).is_dir():
            yield from _walked(each)
        elif os.path.lexists(each) or not _MAGIC.search(each):
            yield Path(each)
        else:
            yield from _matched(each)
    for each in lists:
        try:
            with Path(each).open("rb") as lines:
                yield from _listed(lines)
        except OSError as error:
            raise OptionError(f"--list {each}: {error.strerror}", option="list") from None


def name_of(path: Path, root: Path) -> str:
    """What results call a file: relative to `root` where it lies below, else absolute; in hex what is no UTF-8."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they were named
    named = whole.relative_to(root) if whole.is_relative_to(root) else whole
    return os.fsencode(named.as_posix()).decode("utf-8", "backslashreplace")


def _listed(lines: BinaryIO) -> Iterator[Path]:
    for line in lines:
        if text := line.rstrip(b"\r\n"):
            yield Path(os.fsdecode(text))


def _walked(folder: str) -> Iterator[Path]:
    try:
        with os.scandir(folder) as found:
            entries = sorted((each for each in found if not each.name.startswith(".")), key=lambda each: each.name)
    except OSError:
        yield Path(folder)
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walked(entry.path)
        elif Path(entry.name).suffix.lower() in VIDEO_SUFFIXES and _is_file_or_dangling(Path(entry.path)):
            yield Path(entry.path)


def _matched(pattern: str) -> Iterator[Path]:
    parts = Path(pattern).parts
    first = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
    base, rest = Path(*parts[:first]), parts[first:]
    hidden = any(part.startswith(".") for part in rest)
    try:
        found = sorted(base.glob(str(Path(*rest))))
    except ValueError as error:
        raise OptionError(f"{pattern}: {error}", option="inputs") from None
    matched = [
        path
        for path in found
        if _is_file_or_dangling(path)
        and (hidden or not any(part.startswith(".") for part in path.relative_to(base).parts))
    ]
    if not matched:
        raise OptionError(f"{pattern}: matches no file", option="inputs")
    yield from matched


def _is_file_or_dangling(path: Path) -> bool:
    return path.is_file() or (path.is_symlink() and not path.exists())
