"""The reader of SAMM."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.data.samm import read_samm
from server.errors import InputError


def test_clips_are_found_below_the_notes(samm: Path) -> None:
    """The header is found after notes; five-digit names are frame numbers."""
    reading = read_samm(samm)
    (clip,) = reading.clips
    assert (clip.subject, clip.clip, clip.label) == ("006", "006_1_2", "negative")
    assert (clip.onset.name, clip.apex.name) == ("006_00033.jpg", "006_00039.jpg")
    assert reading.left_out == {"other": 1}


def test_middle_frame_on_request(samm: Path) -> None:
    """The coded apex can be ignored."""
    (clip,) = read_samm(samm, apex="middle").clips
    assert clip.apex_source == "middle"


def test_missing_parts_are_named(samm: Path) -> None:
    """Without its frames or its sheet the folder is refused by name."""
    (samm / "SAMM").rename(samm / "frames")
    with pytest.raises(InputError, match="has no folder SAMM; a SAMM folder holds"):
        read_samm(samm)
    (samm / "SAMM_Micro_FACS_Codes_v2.xlsx").unlink()
    with pytest.raises(InputError, match=r"has no SAMM_Micro_FACS_Codes_v2\.xlsx"):
        read_samm(samm)
