"""A clip of a corpus, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.errors import GlimpseError
from server.types import AnalyzeOptions, Report


@dataclass(frozen=True, slots=True)
class Clip:
    """A file to look at. `name` is what results call it; `sha256` that of the content which has its result already."""

    name: str
    path: bytes
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which content of a file was looked at: bytes, time of its last change (ns), SHA-256 in hex.

    `sha256` is empty where the content was not read; a file that could not be opened has `NO_STAMP`.
    """

    size: int
    mtime_ns: int
    sha256: str = ""


NO_STAMP = Stamp(-1, -1)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no report: `code` and `stage` as in the problem documents of REST, and the members of its kind."""

    code: str
    stage: str
    message: str
    details: Mapping[str, Any]

    @classmethod
    def of(cls, error: GlimpseError) -> Failure:
        """The same as plain values."""
        return cls(error.code, error.stage, error.message, error.details)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a clip. Without report and failure its content is that of `Clip.sha256`, so nothing was to do."""

    name: str
    stamp: Stamp
    report: Report | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done with each clip: `timeout_s` seconds at most, clips of `most_bytes` at most."""

    options: AnalyzeOptions
    timeout_s: float
    most_bytes: int
