"""One clip: its file read, its content compared with what was looked at before, its report or the reason for none."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

from server.bulk.errors import UnreadableFile
from server.bulk.outcomes import NO_STAMP, Clip, Failure, Outcome, Stamp
from server.errors import BackendUnavailable, ConfigurationError, GlimpseError, LimitExceeded, ModelError, Overloaded
from server.secrecy import wipe
from server.types import Report

Analyze: TypeAlias = Callable[[bytearray], Awaitable[Report]]
Read: TypeAlias = tuple[Stamp, "bytearray | Failure"]

NOT_THE_CLIP = (BackendUnavailable, ConfigurationError, ModelError, Overloaded)
"""Errors that any clip would meet now: they end the run, and are recorded of none."""
_STAGE = "read"
_SIZE = "GLIMPSE_LIMITS__UPLOAD_BYTES"


def read(path: bytes, most_bytes: int) -> Read:
    """The stamp and the content of a file, or the reason for none."""
    stamp = NO_STAMP
    try:
        # A pipe that nobody writes to would be waited for.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableFile("It is no regular file.", stage=_STAGE)
            stamp = Stamp(status.st_size, status.st_mtime_ns)
            if status.st_size > most_bytes:
                message = f"The file has more than {most_bytes} bytes ({_SIZE})."
                raise LimitExceeded(message, setting=_SIZE, limit=most_bytes, stage=_STAGE)
            content = _content(file, status.st_size)
        finally:
            os.close(file)
    except OSError as error:
        return stamp, Failure.of(UnreadableFile(f"{error.strerror}.", stage=_STAGE))
    except GlimpseError as error:
        return stamp, Failure.of(error)
    return replace(stamp, sha256=hashlib.sha256(content).hexdigest()), content


def _content(file: int, size: int) -> bytearray:
    content, got = bytearray(size), 0
    with memoryview(content) as view:
        while got < size and (count := os.readv(file, [view[got:]])):
            got += count
    del content[got:]
    return content


async def examine(clip: Clip, analyze: Analyze, most_bytes: int, shipped: Read | None = None) -> Outcome:
    """What becomes of a clip, whose file is read here unless it was `shipped`. Raises `NOT_THE_CLIP`."""
    stamp, content = shipped if shipped is not None else await asyncio.to_thread(read, clip.path, most_bytes)
    if isinstance(content, Failure):
        return Outcome(clip.name, stamp, failure=content)
    try:
        if stamp.sha256 == clip.sha256:
            return Outcome(clip.name, stamp)
        return Outcome(clip.name, stamp, report=await analyze(content))
    except NOT_THE_CLIP:
        raise
    except GlimpseError as error:
        return Outcome(clip.name, stamp, failure=Failure.of(error))
    finally:
        wipe(content)
