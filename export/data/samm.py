"""Reads SAMM as it is distributed (Davison et al., IEEE TAFFC 2018): a coding sheet and folders of frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from export.data.clips import ApexChoice, Labels, Reading, read_coded
from export.data.coding_sheet import read_coding_sheet
from server.errors import InputError

SHEET = "SAMM_Micro_FACS_Codes_v2.xlsx"
FRAMES = "SAMM"
LAYOUT = f"a SAMM folder holds {SHEET} and {FRAMES}/ with 006/006_1_2/006_05562.jpg"


def read_samm(folder: Path, *, labels: Labels | None = None, apex: ApexChoice = "annotated") -> Reading:
    """The clips of the MEGC2019 classes. Raises `InputError` naming what is missing and how the folder should look."""
    sheet, root = folder / SHEET, folder / FRAMES
    if not sheet.is_file():
        raise InputError(f"{folder} has no {SHEET}; {LAYOUT}")
    if not root.is_dir():
        raise InputError(f"{folder} has no folder {FRAMES}; {LAYOUT}")
    # An archive may unpack into a folder of its own name.
    root = root / FRAMES if (root / FRAMES).is_dir() else root
    coded = [replace(row, subject=row.subject.zfill(3)) for row in read_coding_sheet(sheet)]
    return read_coded("samm", coded, lambda row: root / row.subject / row.clip, labels=labels, choice=apex)
