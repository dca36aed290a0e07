"""Reads the coding sheets of CASME II and SAMM: Excel tables whose header may come after notes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from zipfile import BadZipFile

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from export.data.clips import CodedClip
from server.errors import InputError

COLUMNS = {
    "subject": "Subject",
    "filename": "Filename",
    "onsetframe": "Onset Frame",
    "apexframe": "Apex Frame",
    "offsetframe": "Offset Frame",
    "actionunits": "Action Units",
    "estimatedemotion": "Estimated Emotion",
}
Row = Sequence[object]


def read_coding_sheet(file: Path) -> list[CodedClip]:
    """The clips that `file` lists, subjects and clips as it spells them. Raises `InputError` naming what is wrong."""
    try:
        with warnings.catch_warnings():
            # Styles and extensions that openpyxl does not know say nothing about the cells.
            warnings.simplefilter("ignore", UserWarning)
            workbook = load_workbook(file, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError, OSError, ValueError) as error:
        raise InputError(f"{file} is not a readable Excel file: download it again") from error
    for sheet in workbook.worksheets:
        coded = parse_rows(sheet.iter_rows(values_only=True))
        if coded:
            return coded
    raise InputError(f"{file} has no table with the columns {', '.join(COLUMNS.values())}")


def parse_rows(rows: Iterable[Row]) -> list[CodedClip]:
    """The clips below the first row that names every column; none where there is no such row."""
    places: dict[str, int] | None = None
    coded: list[CodedClip] = []
    for row in rows:
        if places is None:
            names = [re.sub(r"[^a-z]", "", str(cell or "").lower()) for cell in row]
            if set(COLUMNS) <= set(names):
                places = {name: names.index(name) for name in COLUMNS}
            continue
        cells = {name: _text(row[place]) for name, place in places.items()}
        if cells["subject"] and cells["filename"]:
            coded.append(
                CodedClip(
                    subject=cells["subject"],
                    clip=cells["filename"],
                    onset=_frame(cells["onsetframe"]),
                    apex=_frame(cells["apexframe"]),
                    offset=_frame(cells["offsetframe"]),
                    emotion=cells["estimatedemotion"],
                    action_units=cells["actionunits"],
                )
            )
    return coded


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell).strip()


def _frame(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
