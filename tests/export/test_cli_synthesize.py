"""`glimpse-export synthesize`: its kinds, its options, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from export.cli import main

TINY = ("--seconds", "1.4,1.4", "--fps", "25", "--size", "240", "--identities", "2", "--processes", "1")


def _run(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_a_corpus_is_written_and_its_index_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clips of the sources that were asked for, and the path of the index on stdout."""
    output = tmp_path / "corpus"
    assert _run("synthesize", output, "--kind", "corpus", "--count", 2, "--sources", "real", *TINY) == 0
    assert capsys.readouterr().out.strip() == str(output / "index.csv")
    with (output / "index.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for row in rows:
        truth = json.loads((output / row["path"]).with_suffix(".json").read_text(encoding="utf-8"))
        assert all(event["source"] == "real" for event in truth["events"])


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--sources", "expert,guess"), "guess"),
        (("--seconds", "4,2"), "--seconds"),
        (("--fps", "fast"), "--fps"),
        (("--fps", "29.97"), "--fps"),
        (("--fps", "nan"), "--fps"),
        (("--expressions", "0.5,1"), "--expressions"),
        (("--expressions", "1,inf"), "--expressions"),
        (("--peak-iod", "0.02"), "--peak-iod"),
        (("--size", "250"), "size"),
        (("--samples", "5"), "--samples"),
    ],
)
def test_bad_options_are_named(
    options: tuple[str, str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the option, and nothing is written."""
    assert _run("synthesize", tmp_path / "corpus", "--kind", "corpus", *options) == 1
    assert word in capsys.readouterr().err
    assert not (tmp_path / "corpus").exists()


def test_options_of_another_kind_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sample clips are what they are: a count belongs to a corpus."""
    assert _run("synthesize", tmp_path / "samples", "--count", 3) == 1
    assert "--count needs --kind corpus" in capsys.readouterr().err


def test_a_picture_without_a_face_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the picture, and nothing is written."""
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    face = ("--face", tmp_path / "wall.png")
    assert _run("synthesize", tmp_path / "corpus", "--kind", "corpus", *face, *TINY) == 1
    assert "wall" in capsys.readouterr().err
    assert not (tmp_path / "corpus").exists()
