"""Onset and apex of a coded clip among the frames on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.data.clips import Clip, CodedClip, Skipped, locate

FRAMES = {number: Path(f"img{number}.jpg") for number in range(10, 21)}


@pytest.mark.parametrize(
    ("apex", "offset", "expected"),
    [(12, 20, ("img12.jpg", "annotated")), (25, 20, ("img15.jpg", "middle")), (None, None, ("img15.jpg", "middle"))],
)
def test_an_impossible_apex_gives_way_to_the_middle(
    apex: int | None, offset: int | None, expected: tuple[str, str]
) -> None:
    """An apex outside onset to offset, or an unknown one, is replaced, and the clip says so."""
    found = locate("samm", CodedClip("006", "006_1_2", 10, apex, offset, "anger"), "negative", FRAMES, "annotated")
    assert isinstance(found, Clip)
    assert (found.apex.name, found.apex_source) == expected


def test_an_unknown_onset_is_a_reason() -> None:
    """Without an onset there is nothing to measure from."""
    found = locate("samm", CodedClip("006", "006_1_2", None, 12, 20, "anger"), "negative", FRAMES, "annotated")
    assert isinstance(found, Skipped)
    assert found.reason == "the coding sheet gives no onset frame"
