"""Reads the label list of the MEGC2019 composite protocol: database, subject, clip, label."""

from __future__ import annotations

import csv
from pathlib import Path

from export.data.clips import Dataset, clip_key
from export.labels import LABELS
from server.errors import InputError

_NAMES: dict[str, Dataset] = {"casme2": "casme2", "casmeii": "casme2", "samm": "samm", "smic": "smic", "smichs": "smic"}


def read_label_list(file: Path, dataset: Dataset) -> dict[tuple[str, str], str]:
    """Class of each clip of `dataset`, by `clip_key`. Labels are class names or their numbers; a header is allowed.

    Raises `InputError` with the line for a row that is none, and when no row is about `dataset`.
    """
    if not file.is_file():
        raise InputError(f"{file} does not exist")
    labels: dict[tuple[str, str], str] = {}
    with file.open(newline="", encoding="utf-8-sig") as opened:
        for number, row in enumerate(csv.reader(opened), start=1):
            if not any(row):
                continue
            cells = [cell.strip() for cell in row]
            label = _label(cells[3]) if len(cells) >= 4 else None
            if label is None:
                if number == 1:
                    continue
                raise InputError(f"{file}, line {number}: expected database, subject, clip and one of 0, 1, 2")
            if _dataset(cells[0]) != dataset:
                continue
            key = clip_key(cells[1], cells[2])
            if labels.setdefault(key, label) != label:
                raise InputError(f"{file}, line {number}: {cells[1]} {cells[2]} is listed twice with different labels")
    if not labels:
        raise InputError(f"{file} lists no clip of {dataset}")
    return labels


def _dataset(name: str) -> Dataset | None:
    return _NAMES.get("".join(letter for letter in name.lower() if letter.isalnum()))


def _label(text: str) -> str | None:
    if text.lower() in LABELS:
        return text.lower()
    return LABELS[int(text)] if text.isdecimal() and int(text) < len(LABELS) else None
