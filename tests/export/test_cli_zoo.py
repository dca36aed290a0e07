"""`glimpse-export zoo`, and the score of a model on rendered people."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from export.cli import main
from export.networks.registry import NETWORKS
from export.repository import published_names, read_published

MODELS = Path(__file__).resolve().parents[2] / "model_repository"


def _run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two networks that are trained on next to nothing."""
    for name in ("ststnet", "off_apexnet"):
        network = replace(NETWORKS[name], samples=64, plan={"epochs": 1})
        monkeypatch.setitem(NETWORKS, name, network)


@pytest.mark.usefixtures("quick", "few_held_out")
def test_what_the_repository_lacks_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each network that is asked for is published once; one that cannot be trained is named, and stops nothing."""
    places = ("--repository", tmp_path / "models", "--output", tmp_path / "runs", "--processes", "1")
    (tmp_path / "models").mkdir()
    assert _run("zoo", "off_apexnet", *places) == 0
    before = read_published(tmp_path / "models", "off_apexnet").model_file.read_bytes()
    capsys.readouterr()
    assert _run("zoo", "off_apexnet", "tgsr_flow", "ststnet", *places) == 0
    told = capsys.readouterr().err
    assert published_names(tmp_path / "models") == ["off_apexnet", "ststnet"]
    assert read_published(tmp_path / "models", "off_apexnet").model_file.read_bytes() == before
    assert "tgsr_flow is left out" in told
    card = read_published(tmp_path / "models", "ststnet").card
    assert card["command"] == "glimpse-export train ststnet --data synthetic --seed 0 --publish"
    assert (tmp_path / "runs" / "ststnet-seed0" / "weights.pth").is_file()


def test_a_model_is_scored_on_rendered_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The score counts every rendered expression, with intervals over people."""
    monkeypatch.setattr("export.cli_rendered.SAMPLES", 30)
    result = tmp_path / "result.json"
    arguments = ("--repository", MODELS, "--data", "synthetic", "--processes", "1", "--json", result)
    assert _run("evaluate", "ststnet", *arguments) == 0
    measured = json.loads(result.read_text(encoding="utf-8"))
    assert (measured["protocol"], measured["samples"], measured["people"]) == ("rendered", 30, 2)
    assert sum(map(sum, measured["confusion"])) == 30
    assert measured["uf1"] > 0.6
    assert "rendered" in capsys.readouterr().out


def test_rendered_samples_have_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log of the challenge names clips of a data set, so it is refused before anything is rendered."""
    arguments = ("--repository", MODELS, "--data", "synthetic", "--megc-log", tmp_path / "log.txt")
    assert _run("evaluate", "ststnet", *arguments) == 1
    assert "--megc-log" in capsys.readouterr().err
