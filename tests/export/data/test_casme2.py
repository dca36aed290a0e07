"""The reader of CASME II."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from export.data.casme2 import read_casme2
from server.errors import InputError

SHEET = "CASME2-coding-20140508.xlsx"


def test_clips_come_with_class_frames_and_action_units(casme2: Path) -> None:
    """Rows of the sheet meet their folders; fear, sadness and others are counted, not used."""
    reading = read_casme2(casme2)
    first, second = reading.clips
    assert (first.subject, first.clip, first.label, first.action_units) == ("sub01", "EP02_01f", "negative", "4+L10")
    assert (first.onset.name, first.apex.name) == ("reg_img33.jpg", "reg_img39.jpg")
    assert first.offset is not None
    assert first.offset.name == "reg_img45.jpg"
    assert (first.apex_source, second.apex_source) == ("annotated", "middle")
    assert (second.label, second.apex.name) == ("positive", "img39.jpg")
    assert reading.left_out == {"sadness": 1, "fear": 1, "others": 1}
    assert reading.skipped == ()


def test_the_label_list_decides(casme2: Path) -> None:
    """A clip is used if and as the list says; what only the list knows is named."""
    reading = read_casme2(casme2, labels={("17", "ep5_3"): "surprise", ("3", "ep1_1"): "negative"})
    assert [(clip.clip, clip.label) for clip in reading.clips] == [("EP05_03", "surprise")]
    assert reading.left_out == {"not in the label list": 4}
    assert [(each.subject, each.clip) for each in reading.skipped] == [("3", "ep1_1")]


def test_whole_pictures_are_preferred(casme2: Path) -> None:
    """With both kinds of frames present, those that are not cropped are read, also one folder deeper."""
    deeper = casme2 / "CASME2_RAW_selected" / "CASME2_RAW_selected"
    shutil.copytree(casme2 / "Cropped", deeper)
    assert read_casme2(casme2).clips[0].onset.is_relative_to(deeper)


def test_missing_frame_is_named(casme2: Path) -> None:
    """A clip without its apex is skipped with the number and what its folder holds."""
    (casme2 / "Cropped" / "sub01" / "EP02_01f" / "reg_img39.jpg").unlink()
    reading = read_casme2(casme2)
    assert [each.reason for each in reading.skipped] == ["frame 39 (apex) is missing: its folder holds 33 to 45"]
    assert [clip.clip for clip in reading.clips] == ["EP05_03"]


def test_missing_clip_is_named(casme2: Path) -> None:
    """A clip of the sheet that is not on disk is skipped by name."""
    shutil.rmtree(casme2 / "Cropped" / "sub17")
    (skipped,) = read_casme2(casme2).skipped
    assert (skipped.subject, skipped.clip) == ("sub17", "EP05_03")
    assert skipped.reason.endswith("EP05_03 does not exist")


def test_half_downloaded_data_is_refused(casme2: Path) -> None:
    """A missing sheet, a broken one, no frame folder, and one without any clip each get an error of their own."""
    for folder in (casme2 / "Cropped").iterdir():
        shutil.rmtree(folder)
    with pytest.raises(InputError, match=r"none of the 2 clips is there; the first is expected at .*EP02_01f"):
        read_casme2(casme2)
    (casme2 / "Cropped").rmdir()
    with pytest.raises(InputError, match="has neither CASME2_RAW_selected nor Cropped; a CASME II folder holds"):
        read_casme2(casme2)
    (casme2 / "Cropped").mkdir()
    (casme2 / SHEET).write_bytes(b"PK half")
    with pytest.raises(InputError, match=r"20140508\.xlsx is not a readable Excel file"):
        read_casme2(casme2)


def test_another_data_set_is_refused(smic: Path) -> None:
    """SMIC given as CASME II lacks the sheet, and the message shows what a right folder looks like."""
    with pytest.raises(InputError, match=r"has no CASME2-coding-\*\.xlsx; a CASME II folder holds"):
        read_casme2(smic)
