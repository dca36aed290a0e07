"""Reads CASME II as it is distributed (Yan et al., PLoS ONE 2014): a coding sheet and folders of frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from export.data.clips import ApexChoice, Labels, Reading, read_coded
from export.data.coding_sheet import read_coding_sheet
from server.errors import InputError

SHEET = "CASME2-coding-*.xlsx"
FRAMES = ("CASME2_RAW_selected", "Cropped")
"""Whole pictures first: the face is found and aligned here as it is when serving."""
LAYOUT = f"a CASME II folder holds {SHEET} and {FRAMES[0]}/ or {FRAMES[1]}/ with subXX/EPyy_zz/*.jpg"
WITHOUT = frozenset({"fear", "sadness"})
"""The MEGC2019 list leaves these out here, though not in SAMM."""


def read_casme2(folder: Path, *, labels: Labels | None = None, apex: ApexChoice = "annotated") -> Reading:
    """The clips of the MEGC2019 classes. Raises `InputError` naming what is missing and how the folder should look."""
    sheets = sorted(folder.glob(SHEET))
    if not sheets:
        raise InputError(f"{folder} has no {SHEET}; {LAYOUT}")
    root = next((folder / name for name in FRAMES if (folder / name).is_dir()), None)
    if root is None:
        raise InputError(f"{folder} has neither {FRAMES[0]} nor {FRAMES[1]}; {LAYOUT}")
    # An archive may unpack into a folder of its own name.
    root = root / root.name if (root / root.name).is_dir() else root
    coded = [replace(row, subject=_subject(row.subject)) for row in read_coding_sheet(sheets[-1])]
    return read_coded(
        "casme2", coded, lambda row: root / row.subject / row.clip, labels=labels, choice=apex, without=WITHOUT
    )


def _subject(text: str) -> str:
    return f"sub{int(text):02d}" if text.isdecimal() else text.lower()
