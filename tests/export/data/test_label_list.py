"""The reader of the MEGC2019 label list."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.data.label_list import read_label_list
from server.errors import InputError


def test_spellings_agree(tmp_path: Path) -> None:
    """Zeros before numbers, a subject before the clip, and names or numbers of classes do not matter."""
    file = tmp_path / "list.csv"
    file.write_text("dataset,subject,clip,label\nCASME II,sub01,sub01_EP02_01f,0\nSMIC-HS,s1,s1_po_02,positive\n")
    assert read_label_list(file, "casme2") == {("1", "ep2_1f"): "negative"}
    assert read_label_list(file, "smic") == {("1", "s1_po_2"): "positive"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("casme2,sub01,EP02_01f,0\ncasme2,sub01,EP02_02,7\n", "line 2: expected database"),
        ("smic,s01,s01_ne_01,0\n", "lists no clip of casme2"),
        ("casme2,sub01,EP02_01f,0\ncasme2,1,ep02_01F,1\n", "line 2: .* listed twice"),
    ],
)
def test_wrong_lists_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """The line or the data set that is wrong is named."""
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_label_list(tmp_path / "list.csv", "casme2")
