"""`glimpse-export prepare`, from a data set as distributed to what the shipped model says about it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from export.cli import main
from export.data.flow_images import read_flow_images
from export.labels import LABELS
from export.scoring import published_checkpoint, torch_score


def _prepare(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main(["prepare", *(str(argument) for argument in arguments)])
    return int(end.value.code or 0)


def _skipped(output: Path) -> list[dict[str, str]]:
    with (output / "skipped.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("dataset", ["casme2", "samm", "smic"])
def test_the_shipped_model_reads_what_comes_out(
    dataset: str, request: pytest.FixtureRequest, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """Each data set gives images in which the default model sees the frown of the fixture."""
    assert _prepare(dataset, request.getfixturevalue(dataset), tmp_path / "out") == 0
    data = read_flow_images(tmp_path / "out")
    assert set(data.datasets) == {dataset}
    assert LABELS[data.labels[0]] == "negative"
    checkpoint = published_checkpoint(pytestconfig.rootpath / "model_repository", "ststnet")
    inputs = {"flow": data.images[:1].astype(np.float32)}
    answer = torch_score({"ststnet": checkpoint})("ststnet", inputs)["probabilities"]
    assert LABELS[int(answer[0].argmax())] == "negative"


def test_data_sets_share_a_folder_and_runs_resume(
    casme2: Path, samm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images that exist are kept, and another data set adds its rows."""
    output = tmp_path / "out"
    assert _prepare("casme2", casme2, output) == 0
    (output / "casme2" / "sub17" / "sub17_EP05_03.png").unlink()
    before = (output / "casme2" / "sub01" / "sub01_EP02_01f.png").stat().st_mtime_ns
    assert _prepare("casme2", casme2, output) == 0
    assert "1 images made, 1 kept" in capsys.readouterr().err
    assert (output / "casme2" / "sub01" / "sub01_EP02_01f.png").stat().st_mtime_ns == before
    assert _prepare("samm", samm, output) == 0
    assert read_flow_images(output).datasets == ("casme2", "casme2", "samm")


def test_images_made_otherwise_are_not_mixed(samm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another flow estimator needs another folder."""
    assert _prepare("samm", samm, tmp_path / "out") == 0
    assert _prepare("samm", samm, tmp_path / "out", "--flow", "fast") == 1
    assert "holds images made with recipe flow_uvs_28, flow accurate" in capsys.readouterr().err


def test_a_damaged_picture_costs_its_clip_only(casme2: Path, tmp_path: Path) -> None:
    """A clip whose apex cannot be decoded is listed with the reason; the others are made."""
    (casme2 / "Cropped" / "sub01" / "EP02_01f" / "reg_img39.jpg").write_bytes(b"")
    assert _prepare("casme2", casme2, tmp_path / "out") == 0
    assert len(read_flow_images(tmp_path / "out").paths) == 1
    (row,) = _skipped(tmp_path / "out")
    assert (row["subject"], row["clip"]) == ("sub01", "EP02_01f")
    assert "0 bytes" in row["reason"]


def test_nothing_made_is_a_failure(samm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without one image there is no index, the exit code is 1, and the reasons are kept."""
    (samm / "SAMM" / "006" / "006_1_2" / "006_00033.jpg").unlink()
    assert _prepare("samm", samm, tmp_path / "out") == 1
    assert "no image could be made of 1 clips" in capsys.readouterr().err
    assert not (tmp_path / "out" / "index.csv").exists()
    assert "frame 33 (onset) is missing" in _skipped(tmp_path / "out")[0]["reason"]


def test_wrong_folder_is_a_failure(smic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SMIC given as CASME II is refused before anything is written."""
    assert _prepare("casme2", smic, tmp_path / "out") == 1
    assert "a CASME II folder holds" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
