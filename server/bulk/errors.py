"""What can go wrong with files and results, beside what can go wrong with a clip (`server.errors`)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from server.errors import GlimpseError, InputError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class UnreadableFile(InputError):
    """A file of the corpus that is not there, may not be read, or is no file. It costs that clip alone."""

    code = "unreadable-file"
    title = "The file cannot be read"


class ResultsInUse(GlimpseError):
    """Another run writes to the same folder of results."""

    code = "results-in-use"
    title = "The results are being written"


class ResultsBroken(GlimpseError):
    """What is in the folder of results is not what a run left there."""

    code = "results-broken"
    title = "The results were changed"


class ResultsUnwritable(GlimpseError):
    """The results cannot be written. What was recorded until then is whole, and the same command goes on from there."""

    code = "results-unwritable"
    title = "The results cannot be written"


class DiskFull(ResultsUnwritable):
    """There is no room for the results."""

    code = "disk-full"
    title = "There is no room for the results"


@contextmanager
def writing(folder: os.PathLike[str]) -> Iterator[None]:
    """Raises `DiskFull` or `ResultsUnwritable` for the `OSError` of a block that writes to `folder`."""
    try:
        yield
    except OSError as error:
        raise unwritable(folder, error.strerror or type(error).__name__, full=error.errno in _NO_ROOM) from error


def unwritable(folder: os.PathLike[str], reason: str, *, full: bool) -> ResultsUnwritable:
    """The error for a folder that could not be written to, for `reason`; `full` where there is no room."""
    kind = DiskFull if full else ResultsUnwritable
    return kind(f"{os.fspath(folder)} cannot be written to ({reason}); what was recorded is kept", stage="results")
