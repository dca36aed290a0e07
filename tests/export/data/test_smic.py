"""The reader of SMIC-HS."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.data.smic import read_smic
from server.errors import InputError


def test_class_comes_from_the_folder_and_apex_from_the_middle(smic: Path) -> None:
    """First frame and middle frame stand for onset and apex."""
    negative, surprise = read_smic(smic).clips
    assert (negative.subject, negative.clip, negative.label) == ("s01", "s01_ne_01", "negative")
    assert (negative.onset.name, negative.apex.name) == ("reg_image000033.bmp", "reg_image000039.bmp")
    assert (surprise.label, surprise.apex.name, surprise.apex_source) == ("surprise", "reg_image000034.bmp", "middle")


def test_empty_clip_and_subject_are_named(smic: Path) -> None:
    """A clip without pictures and a subject without clips are skipped by name."""
    root = smic / "SMIC_all_cropped" / "HS"
    (root / "s01" / "micro" / "positive" / "s01_po_01").mkdir(parents=True)
    (root / "s02").mkdir()
    reading = read_smic(smic)
    assert [(each.subject, each.clip) for each in reading.skipped] == [("s01", "s01_po_01"), ("s02", "")]
    assert len(reading.clips) == 2


def test_another_data_set_is_refused(casme2: Path) -> None:
    """CASME II given as SMIC lacks the folder of SMIC."""
    with pytest.raises(InputError, match="has no SMIC_all_cropped/HS; an SMIC folder holds"):
        read_smic(casme2)
    (casme2 / "HS").mkdir()
    with pytest.raises(InputError, match="holds no clips"):
        read_smic(casme2)
