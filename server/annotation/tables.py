"""Reads tables of events: our CSV, and the coding sheets of CASME II and SAMM as CSV or as Excel files."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias
from zipfile import BadZipFile

from server.annotation.texts import decoded, frame_rate
from server.annotation.types import AnnotationError, CodedClip, CodedEvent, Reading, TimeUnit, checked_event
from server.errors import ConfigurationError
from server.report.names import parse_cell, parse_class
from server.report.unit_notation import CodedUnit, parse_units
from server.types import EventKind

# What a column is called, in lower case and without anything but letters and digits.
_NAMES = {
    "clip": ("clip", "path"),
    "subject": ("subject", "participant"),
    "filename": ("filename", "file", "video"),
    "onset": ("onsets", "onsetframe", "onset", "onsetf"),
    "apex": ("apexs", "apexframe", "apex", "apexf"),
    "offset": ("offsets", "offsetframe", "offset", "offsetf"),
    "onset_frame": ("onsetframe",),
    "offset_frame": ("offsetframe",),
    "label": ("label", "estimatedemotion", "emotion", "class"),
    "kind": ("kind", "micro", "type", "expressiontype"),
    "units": ("actionunits", "actionunit", "aus", "au"),
    "track": ("trackid", "face"),
    "abstained": ("abstained",),
}
_IN_SECONDS = "onsets"
_MISSING = frozenset({"", "/", "\\", "-", "n/a", "na", "nan"})
# float() alone would also take nan, inf and 1_0; spreadsheets write frames as 46.0 at times.
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,18})?(e-?[0-9]{1,2})?", re.IGNORECASE)
_FRAME = re.compile(r"[0-9]{1,9}(\.0{1,9})?")
# As our own CSV has it: number, side, intensity.
_OUR_UNIT = re.compile(r"([0-9]{1,2}) (left|right|both) [0-9.]+")

Row: TypeAlias = tuple[int, Sequence[str]]
"""The number of a row, as an editor shows it, and its cells."""


def read_csv(data: bytes, file: str, reading: Reading) -> Sequence[CodedClip]:
    """The clips of a table with commas, semicolons or tabs. Raises `AnnotationError` naming file and row."""
    text = decoded(data, file)
    first = next((line for line in text.splitlines() if "onset" in line.lower()), "")
    delimiter = max(",;\t", key=first.count)
    return _clips(_csv_rows(text, delimiter, file), file, reading)


def read_xlsx(data: bytes, file: str, reading: Reading) -> Sequence[CodedClip]:
    """The clips of the first sheet that has such a table. Raises `AnnotationError` naming file and row.

    Raises `ConfigurationError` without the extra `compare`.
    """
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError:
        raise ConfigurationError("Excel files need the extra `compare`: pip install 'glimpse[compare]'") from None
    try:
        with warnings.catch_warnings():
            # Styles and extensions that openpyxl does not know say nothing about the cells.
            warnings.simplefilter("ignore", UserWarning)
            workbook = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            for sheet in workbook.worksheets:
                rows = (
                    (n, [_text(cell) for cell in row]) for n, row in enumerate(sheet.iter_rows(values_only=True), 1)
                )
                header = _header(rows)
                if header is not None:
                    return _parsed(rows, header, file, reading)
    except (BadZipFile, InvalidFileException, KeyError, ValueError, OSError, SyntaxError) as error:
        raise AnnotationError("it is no Excel file that can be read (.xlsx)", file=file) from error
    raise _no_table(file)


def _csv_rows(text: str, delimiter: str, file: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise AnnotationError(str(error), file=file, place=f"row {reader.line_num}") from None


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell)


def _clips(rows: Iterator[Row], file: str, reading: Reading) -> Sequence[CodedClip]:
    header = _header(rows)
    if header is None:
        raise _no_table(file)
    return _parsed(rows, header, file, reading)


def _no_table(file: str) -> AnnotationError:
    return AnnotationError("no row names the columns of onset and offset, in frames or in seconds", file=file)


def _header(rows: Iterable[Row]) -> Mapping[str, int] | None:
    """Where the columns are, from the first row that names onset and offset; notes may come before it."""
    for _, row in rows:
        names = [re.sub(r"[^a-z0-9]", "", cell.lower()) for cell in row]
        places = {
            column: next(names.index(name) for name in known if name in names)
            for column, known in _NAMES.items()
            if any(name in names for name in known)
        }
        if {"onset", "offset"} <= places.keys():
            # Seconds are told apart by the name that only our own table has.
            return places if _IN_SECONDS in names else {**places, "in_frames": -1}
    return None


def _parsed(rows: Iterable[Row], header: Mapping[str, int], file: str, reading: Reading) -> Sequence[CodedClip]:
    unit: TimeUnit = "frames" if "in_frames" in header else "seconds"
    columns = {name: place for name, place in header.items() if place >= 0}
    events: dict[str, list[CodedEvent]] = {}
    pairs: dict[str, list[tuple[float, float]]] = {}
    for number, row in rows:
        cells = {name: row[place].strip() if place < len(row) else "" for name, place in columns.items()}
        if not any(cells.values()):
            continue
        try:
            name = _name(cells)
            events.setdefault(name, []).append(_event(cells, unit, reading.first_frame))
            if unit == "seconds" and "offset_frame" in columns:
                pairs.setdefault(name, []).append((float(cells["offset_frame"]), float(cells["offset"])))
        except ValueError as error:
            raise AnnotationError(str(error), file=file, place=f"row {number}") from None
    return tuple(
        CodedClip(name, tuple(found), unit, fps=frame_rate(pairs.get(name, ()))) for name, found in events.items()
    )


def _name(cells: Mapping[str, str]) -> str:
    if "clip" in cells:
        return parse_cell(cells["clip"])
    parts = (cells.get("subject", ""), cells.get("filename", ""))
    return "/".join(parse_cell(part) for part in parts if part)


def _event(cells: Mapping[str, str], unit: TimeUnit, first_frame: int) -> CodedEvent:
    onset, offset = (_moment(cells, name, unit, first_frame) for name in ("onset", "offset"))
    missing = cells.get("apex", "").lower() in _MISSING
    apex = None if missing else _moment(cells, "apex", unit, first_frame)
    label, withheld = parse_class(parse_cell(cells.get("label", "")))
    track = cells.get("track", "")
    return checked_event(
        CodedEvent(
            onset=onset,
            apex=apex,
            offset=offset,
            label=label,
            kind=_kind(cells.get("kind", "")),
            track_id=int(track) if track else None,
            action_units=_units(cells["units"]) if "units" in cells else None,
            withheld=withheld or cells.get("abstained", "").lower() == "true",
        )
    )


def _moment(cells: Mapping[str, str], name: str, unit: TimeUnit, first_frame: int) -> float:
    text = cells[name]
    if unit == "seconds":
        if not _SECONDS.fullmatch(text):
            raise ValueError(f"{name} {text[:40]!r} is not seconds")
        return float(text)
    if not _FRAME.fullmatch(text):
        raise ValueError(f"{name} {text[:40]!r} is not the number of a frame")
    return float(text) - first_frame


def _kind(text: str) -> EventKind | None:
    lowered = text.lower()
    return "micro" if lowered.startswith("micro") else "macro" if lowered.startswith("macro") else None


def _units(text: str) -> Sequence[CodedUnit]:
    ours = [_OUR_UNIT.fullmatch(part.strip()) for part in text.split(";")]
    if all(ours):
        return tuple(CodedUnit(int(unit[1]), unit[2]) for unit in ours if unit)  # type: ignore[arg-type]
    return parse_units(text)
