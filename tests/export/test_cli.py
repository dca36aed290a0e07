"""`glimpse-export`: exit codes, what goes to stdout, and the way from training to a verified model."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.checkpoint import Checkpoint
from export.cli import main
from export.evaluation import Evaluation
from export.networks.ststnet import STSTNet
from export.protocol import evaluate_model
from export.repository import read_published
from export.synthesis.action_units import UNITS


def _run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of synthetic samples in the format of real ones."""
    assert _run("synthesize", tmp_path / "data", "--kind", "flow", "--samples", "24", "--processes", "1") == 0
    return tmp_path / "data"


@pytest.mark.usefixtures("few_held_out")
def test_from_training_to_a_verified_model(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Train, publish, verify and evaluate: each command succeeds, and the card tells what was done."""
    repository = tmp_path / "models"
    options = ("--samples", "64", "--epochs", "1", "--processes", "1", "--output", tmp_path / "run")
    capsys.readouterr()
    command = ("train", "ststnet", "--data", "synthetic", *options, "--publish", "--repository", repository)
    assert _run(*command) == 0
    printed = capsys.readouterr()
    assert printed.out.split() == [str(tmp_path / "run" / "weights.pth"), str(repository / "ststnet" / "1")]
    assert "epoch 1/1: loss" in printed.err

    assert _run("verify", "--repository", repository) == 0
    assert "ststnet: torch and local: ok" in capsys.readouterr().out

    report, log = tmp_path / "report.json", tmp_path / "log.csv"
    evaluation = ("evaluate", "ststnet", "--data", data, "--repository", repository, "--json", report, "--log", log)
    assert _run(*evaluation, "--record") == 0
    assert "negative" in capsys.readouterr().out
    summary = json.loads(report.read_text())
    assert {"samples", "uf1", "uar", "confusion", "datasets"} <= summary.keys()
    assert summary["datasets"]["synthetic"]["samples"] == 24
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    hits = sum(row["label"] == row["prediction"] for row in rows)
    assert hits == np.trace(np.array(summary["confusion"]))

    card = read_published(repository, "ststnet").card
    assert card["command"].startswith("glimpse-export train ststnet --data synthetic")
    assert [result["command"].split()[1] for result in card["results"]] == ["train", "evaluate"]
    assert card["results"][1]["uf1"] == summary["uf1"]


def test_occupied_place_is_noticed_before_training(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody trains for minutes to be told that the version exists."""
    command = ("train", "ststnet", "--data", "synthetic", "--publish", "--name", "ours", "--repository", repository)
    assert _run(*command) == 1
    printed = capsys.readouterr()
    assert "exists" in printed.err
    assert "epoch" not in printed.err


def test_weights_are_published_under_a_name(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """`model` publishes what `train` wrote, for the flow that is asked for, and keeps the training's command."""
    from export.checkpoint import checkpoint_bytes

    weights = tmp_path / "weights.pth"
    weights.write_bytes(checkpoint_bytes(checkpoint))
    options = ("--weights", weights, "--repository", tmp_path, "--name", "other", "--flow", "fast")
    assert _run("model", "ststnet", *options) == 0
    contract = read_published(tmp_path, "other").contract
    assert (contract.flow, contract.provenance.command) == ("fast", "a test")
    assert _run("model", "ststnet", *options) == 1
    assert _run("model", "ststnet", *options, "--overwrite") == 0
    assert _run("import", "ststnet", weights, "--name", "x", "--repository", tmp_path) == 1


def test_published_weights_are_imported(tmp_path: Path) -> None:
    """A bare state dictionary becomes a model that wants TV-L1 flow, and `model` sends it to `import`."""
    torch.save(STSTNet(padding=2).state_dict(), tmp_path / "s01.pth")
    command = ("import", "ststnet", tmp_path / "s01.pth", "--name", "ststnet-s01", "--repository", tmp_path)
    assert _run(*command) == 0
    contract = read_published(tmp_path, "ststnet-s01").contract
    assert (contract.flow, contract.provenance.source) == ("tvl1", "imported")
    assert _run("model", "ststnet", "--weights", tmp_path / "s01.pth", "--repository", tmp_path) == 1


def test_failed_verification_exits_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged model is told on stdout and by the exit code."""
    torch.save(STSTNet(padding=2).state_dict(), tmp_path / "s01.pth")
    assert _run("import", "ststnet", tmp_path / "s01.pth", "--name", "x", "--repository", tmp_path) == 0
    (tmp_path / "x" / "labels.txt").write_text("a\nb\nc\n")
    assert _run("verify", "x", "--repository", tmp_path) == 1
    assert "x: labels: FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "nobody", "--data", "{data}"),
        ("evaluate", "ststnet", "--data", "nowhere"),
        ("evaluate", "ststnet", "--data", "{data}", "--triton-address", "localhost:1"),
        ("evaluate", "ststnet", "--data", "{data}", "--weights-per-subject", "nowhere"),
        ("evaluate", "ststnet", "--data", "{data}", "--weights-per-subject", "nowhere", "--record"),
        ("evaluate", "ststnet", "--data", "{data}", "--seeds", "0"),
        ("evaluate", "ststnet", "--data", "{data}", "--epochs", "2"),
        ("evaluate", "ststnet", "--data", "{data}", "--weights", "nowhere.pth"),
        ("evaluate", "ststnet", "--data", "{data}", "--baseline", "ststnet"),
        ("evaluate", "ststnet", "--data", "{data}", "--baseline-epochs", "2"),
        ("evaluate", "nothing", "--data", "{data}", "--protocol", "loso"),
        ("evaluate", "ststnet", "--data", "{data}", "--protocol", "loso", "--baseline", "nothing"),
        ("evaluate", "ststnet", "--data", "{data}", "--protocol", "loso", "--baseline-epochs", "2"),
        ("evaluate", "ststnet", "--data", "{data}", "--protocol", "loso", "--backend", "local"),
        ("evaluate", "ststnet", "--data", "{data}", "--protocol", "loso", "--backend", "triton"),
        ("evaluate", "ststnet", "--data", "{data}", "--protocol", "loso", "--record"),
        ("evaluate", "ststnet", "--data", "{data}", "--protocol", "loso", "--seeds", "0,x"),
        ("evaluate", "ststnet", "--data", "{data}", "--protocol", "loso", "--seeds", "1,1"),
        ("evaluate", "ststnet", "--data", "{data}", "--protocol", "loso", "--weights", "nowhere.pth"),
        ("score", "nowhere.log"),
        ("train", "nothing", "--data", "synthetic"),
        ("train", "ststnet", "--data", "{data}", "--samples", "5"),
        ("verify", "nobody"),
        ("verify", "--repository", "nowhere"),
        ("import", "ststnet", "nowhere.pth", "--name", "x"),
    ],
)
def test_failure_is_one_line_and_exit_one(
    arguments: tuple[str, ...], data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be done is told in one line on stderr, without a traceback, and stdout stays empty."""
    capsys.readouterr()
    assert _run(*(argument.replace("{data}", str(data)) for argument in arguments)) == 1
    printed = capsys.readouterr()
    assert "error: " in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "ststnet"),
        ("train", "ststnet"),
        ("evaluate", "ststnet", "--data", "x", "--backend", "other"),
        ("evaluate", "ststnet", "--data", "x", "--protocol", "other"),
        ("evaluate", "ststnet", "--data", "x", "--protocol", "loso", "--epochs", "0"),
        ("score",),
        ("train", "ststnet", "--data", "synthetic", "--epochs", "0"),
        ("unknown",),
    ],
)
def test_wrong_usage_exits_with_two(arguments: tuple[str, ...]) -> None:
    """A missing or unknown option is a usage error."""
    assert _run(*arguments) == 2


def test_folder_training_reports_held_out_subjects(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of samples trains by the same command."""
    options = ("--epochs", "1", "--output", tmp_path / "run")
    assert _run("train", "ststnet", "--data", data, *options) == 0
    assert (tmp_path / "run" / "weights.pth").is_file()
    assert "held-out accuracy" in capsys.readouterr().err


def test_evaluation_tells_more_than_scores(
    data: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calibration, what withholding leaves, the ranks of action units where the model answers them, and a picture."""
    report, plot = tmp_path / "report.json", tmp_path / "plot.png"
    units = np.zeros((24, 2, len(UNITS)), np.float32)
    units[:, 1, UNITS.index(12)] = 1

    def with_units(*arguments: object, **options: object) -> Evaluation:
        return replace(evaluate_model(*arguments, **options), extras={"action_units": units})

    monkeypatch.setattr("export.protocol.evaluate_model", with_units)
    options = ("--repository", repository, "--json", report, "--plot", plot)
    assert _run("evaluate", "ours", "--data", data, *options) == 0
    summary = json.loads(report.read_text())
    assert summary["calibration"].keys() == {"bins", "samples", "ece", "adaptive_ece", "brier", "nll"}
    assert summary["abstention"] == {"threshold": 0.0, "coverage": 1.0, "accuracy": summary["accuracy"]}
    assert [rank["first_or_second"] for rank in summary["action_unit_ranks"]] == [1.0, 1.0]
    printed = capsys.readouterr().out
    assert "calibration error" in printed
    assert "AU 12 ranks first or second in 100.0%" in printed
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_head_that_was_taught_no_unit_ranks_none(data: Path, tmp_path: Path) -> None:
    """Folders tell no action units: a network that learnt from one alone has a head of random weights."""
    repository, report = tmp_path / "models", tmp_path / "report.json"
    options = ("--epochs", "1", "--output", tmp_path / "run", "--publish", "--repository", repository)
    assert _run("train", "glimpse_flow", "--data", data, *options) == 0
    assert _run("evaluate", "glimpse_flow", "--data", data, "--repository", repository, "--json", report) == 0
    assert "action_unit_ranks" not in json.loads(report.read_text())


def test_samples_of_the_training_are_no_test(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that is scored on the folder it was trained on gets a warning, and its result a mark."""
    repository, report = tmp_path / "models", tmp_path / "report.json"
    options = ("--epochs", "1", "--output", tmp_path / "run", "--publish", "--repository", repository)
    assert _run("train", "ststnet", "--data", data, *options) == 0
    assert _run("evaluate", "ststnet", "--data", data, "--repository", repository, "--json", report) == 0
    count = json.loads(report.read_text())["samples"]
    assert f"was trained on {count} of these {count} samples" in capsys.readouterr().err
    assert json.loads(report.read_text())["seen_in_training"] == count


def test_flow_is_written_as_archive(tmp_path: Path) -> None:
    """An .npz name gives an archive."""
    command = ("synthesize", tmp_path / "flow.npz", "--kind", "flow", "--samples", "5", "--processes", "1")
    assert _run(*command) == 0
    with np.load(tmp_path / "flow.npz") as archive:
        assert archive["images"].shape == (5, 3, 28, 28)
