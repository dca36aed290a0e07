"""Reads annotations of every kind that is known, by the suffix of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from server.annotation.documents import read_json, read_json_lines
from server.annotation.eaf import read_eaf
from server.annotation.tables import read_csv, read_xlsx
from server.annotation.types import Annotation, AnnotationError, CodedClip, Reading

MOST_BYTES = 256 * 1024**2
"""Of one file: a million rows take less."""

_Read: TypeAlias = Callable[[bytes, str, Reading], Sequence[CodedClip]]
_READERS: Mapping[str, _Read] = {
    ".eaf": read_eaf,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".xlsx": read_xlsx,
    ".json": read_json,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
}


def read_annotation(path: Path, reading: Reading | None = None) -> Annotation:
    """The annotation in `path`; of a folder, that of the files with a known suffix in it, in the order of names.

    Raises `AnnotationError` naming file and place.
    """
    chosen = reading or Reading()
    files = _files(path)
    clips = [clip for file in files for clip in _read(file, chosen)]
    if path.is_dir() and not files:
        raise AnnotationError(f"the folder holds no file with {', '.join(_READERS)}", file=str(path))
    return Annotation(str(path), tuple(clips))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.suffix.lower() in _READERS and file.is_file())


def _read(path: Path, reading: Reading) -> Sequence[CodedClip]:
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise AnnotationError(f"the suffix is none of {', '.join(_READERS)}", file=str(path))
    try:
        if path.stat().st_size > MOST_BYTES:
            raise AnnotationError(f"the file is larger than {MOST_BYTES} bytes", file=str(path))
        data = path.read_bytes()
    except OSError as error:
        raise AnnotationError(error.strerror or type(error).__name__, file=str(path)) from None
    return read(data, str(path), reading)
