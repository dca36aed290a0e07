"""The log of the challenge, written and read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.cli import main
from export.data.flow_images import FlowImages
from export.evaluation import score_predictions
from export.megc_log import read_megc_log, write_megc_log
from server.errors import InputError

STSTNET = np.array([[219, 22, 9], [40, 62, 7], [21, 3, 59]])
TRUTH, PREDICTIONS = (np.repeat(axis.ravel(), STSTNET.ravel()) for axis in np.indices((3, 3)))


def _data(paths: tuple[str, ...] | None = None) -> FlowImages:
    subjects = tuple(f"s{i % 20:02d}" for i in range(442))
    paths = paths or tuple(f"clips/{i}.png" for i in range(442))
    images = np.zeros((442, 3, 28, 28), np.uint8)
    return FlowImages(images, TRUTH, ("smic",) * 442, subjects, paths, "")


def _score(log: Path) -> int:
    with pytest.raises(SystemExit) as end:
        main(["score", str(log)])
    return int(end.value.code or 0)


def test_published_matrix_survives_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The matrix of the STSTNet paper, laid out as a log of 20 folds, gives .7353 and .7186 again, also printed."""
    write_megc_log(tmp_path / "new" / "log.txt", _data(), PREDICTIONS)
    lines = (tmp_path / "new" / "log.txt").read_text().splitlines()
    assert lines[:2] == ["smic s00", "clips/0.png 0 0"]
    assert len(lines) == 442 + 20
    answers = read_megc_log(tmp_path / "new" / "log.txt")
    scores = score_predictions(answers.truth, answers.predictions, answers.datasets)
    np.testing.assert_array_equal(scores.overall.confusion, STSTNET)
    assert (round(scores.overall.uf1, 4), round(scores.overall.uar, 4)) == (0.7353, 0.7186)
    assert len(set(answers.subjects)) == 20
    assert _score(tmp_path / "new" / "log.txt") == 0
    row = capsys.readouterr().out.splitlines()[2].split()
    assert (row[:3], row[4]) == (["all", "442", "0.7353"], "0.7186")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a 0 1\n", "line 1: a clip before the first line"),
        ("smic s01\na 0 3\n", "line 2: truth '0', prediction '3': classes are 0, 1, 2"),
        ("smic s01\na 0 1 2\n", "line 2: neither"),
        ("smic s01\na 0 1\na 1 1\n", "line 3: smic s01 has the clip a twice"),
        ("smic s01\n\n", "holds no clip"),
    ],
)
def test_damaged_log_is_told_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    """What is not a log is refused where it goes wrong."""
    (tmp_path / "log").write_text(text)
    with pytest.raises(InputError, match=problem):
        read_megc_log(tmp_path / "log")


def test_log_without_a_class_has_no_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log in which nobody is surprised is an error that says so."""
    (tmp_path / "log").write_text("smic s01\na 0 0\nb 1 1\n")
    assert _score(tmp_path / "log") == 1
    assert "no sample of the data is surprise" in capsys.readouterr().err


def test_white_space_in_a_name_is_refused(tmp_path: Path) -> None:
    """A path with a space could not be read back, so it is not written."""
    with pytest.raises(InputError, match="white space"):
        write_megc_log(tmp_path / "log", _data(("a clip.png", *map(str, range(441)))), PREDICTIONS)
    assert not (tmp_path / "log").exists()
