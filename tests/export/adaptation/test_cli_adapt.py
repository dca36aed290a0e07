"""`glimpse-export adapt`: from unlabelled samples to a published model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.cli import main
from export.evaluation import evaluate_answers
from export.repository import read_published
from export.verify import verify
from server.predict.tritonserver import TritonServer

SHIPPED = "ststnet"


def _run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def repository(
    folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Path:
    """Holds the shipped model, `camera`, which is that model adapted, and `linear`. For reading only."""
    source, target = folders
    place = tmp_path_factory.mktemp("models")
    shutil.copytree(pytestconfig.rootpath / "model_repository" / SHIPPED, place / SHIPPED)
    skewed = tmp_path_factory.mktemp("skewed")
    _skewed_target(skewed)
    assert _run("adapt", SHIPPED, "--data", skewed, "--name", "camera", "--repository", place) == 0
    linear = ("adapt", "tgsr_flow", "--source", source, "--data", target, "--name", "linear", "--flow", "tvl1")
    assert _run(*linear, "--repository", place) == 0
    return place


def _skewed_target(folder: Path) -> None:
    """120 samples of which nearly all are negative, with labels that say otherwise."""
    from export.data.flow_images import write_flow_images
    from export.synthesis.flow_fields import synthesize_flow

    made = synthesize_flow(320, seed=5)
    chosen = np.concatenate([np.flatnonzero(made.labels == 0)[:100], np.flatnonzero(made.labels != 0)[:20]])
    write_flow_images(folder, made.images[chosen], np.full(120, 2), "place")


def test_adapted_models_pass_verification(repository: Path) -> None:
    """Both are complete versions: files as the card records, graph as the contract, torch as ONNX Runtime."""
    for name in ("camera", "linear"):
        checks = verify(repository, name)
        assert all(check.passed for check in checks), checks


def test_adapted_models_answer_alike_in_triton(
    repository: Path, triton_server_factory: Callable[..., TritonServer]
) -> None:
    """A real Triton serves them as it serves any other model."""
    server = triton_server_factory(repository)
    for name in ("camera", "linear"):
        checks = verify(repository, name, triton_address=server.grpc_address)
        assert checks[-1].name == "torch and triton"
        assert all(check.passed for check in checks), checks


def test_contract_and_card_say_what_a_model_was_adapted_to(repository: Path) -> None:
    """Which model, how many unlabelled samples and their hash; the labels beside them were not believed."""
    camera = read_published(repository, "camera")
    note = camera.card["training"]["adaptation"]
    words = camera.contract.provenance.training_data
    assert words.startswith("synthetic: ")
    assert (
        f"ststnet adapted to the class shares of 120 unlabelled samples (sha256 {note['unlabelled_sha256']})" in words
    )
    assert note["model_sha256"] == read_published(repository, SHIPPED).card["weights_sha256"]
    assert note["estimated_shares"]["negative"] > 0.6
    assert camera.card["command"].startswith("glimpse-export adapt ststnet --data")
    assert camera.contract.flow == read_published(repository, SHIPPED).contract.flow
    assert camera.card["results"] == []


def test_the_linear_model_says_what_it_was_fitted_to(repository: Path) -> None:
    """Settings, regions kept, source and target are in the card; its only score is marked as optimistic."""
    linear = read_published(repository, "linear")
    training = linear.card["training"]
    assert len(training["kept_regions"]) == training["kappa"]
    assert training["adaptation"]["unlabelled_samples"] == 40
    assert linear.contract.flow == "tvl1"
    assert "ICPR 2022" in linear.card["citation"]
    (result,) = linear.card["results"]
    assert "optimistic" in result["data"]


def test_the_linear_model_learnt_its_source(repository: Path, folders: tuple[Path, Path]) -> None:
    """It tells the classes of the samples that it was fitted to."""
    from export.adaptation.adapt import probabilities
    from export.data.flow_images import read_flow_images
    from export.scoring import published_checkpoint

    data = read_flow_images(folders[0])
    found = evaluate_answers(data, probabilities(published_checkpoint(repository, "linear"), data.images))
    assert found.overall.accuracy > 0.8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tgsr_flow", "--data", "{target}"), "needs labelled samples to learn from: --source"),
        (("tgsr_flow", "--data", "{source}", "--source", "{source}"), "48 target samples are source samples too"),
        (("tgsr_flow", "--data", "{target}", "--source", "{target}"), "has no column dataset, subject, label"),
        (("tgsr_flow", "--data", "{target}", "--source", "{source}", "--method", "priors"), "by --method tgsr"),
        (("ststnet", "--data", "{target}", "--method", "tgsr"), "by --method priors"),
        (("ststnet", "--data", "{target}", "--flow", "fast"), "stays that of its contract"),
        (("ststnet", "--data", "nowhere"), "does not exist"),
        (("camera", "--data", "{target}"), "camera is adapted already"),
        (("linear", "--data", "{target}"), "linear was not trained on synthetic samples alone"),
        (("nobody", "--data", "{target}"), "no model 'nobody'"),
        (("new", "--data", "{target}"), "a name of its own"),
    ],
)
def test_what_cannot_be_adapted_is_one_line_and_exit_one(
    arguments: tuple[str, ...],
    message: str,
    repository: Path,
    folders: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Missing labels, samples that are no other place, and options that do not go together are told in one line."""
    places = {"source": str(folders[0]), "target": str(folders[1])}
    command = [argument.format(**places) for argument in arguments]
    capsys.readouterr()
    assert _run("adapt", *command, "--name", "new", "--repository", repository) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert not (repository / "new").exists()


def test_occupied_place_is_noticed_before_fitting(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody waits for a fit to be told that the version exists."""
    assert (
        _run("adapt", "tgsr_flow", "--data", "x", "--source", "y", "--name", "linear", "--repository", repository) == 1
    )
    assert "exists" in capsys.readouterr().err


def test_the_linear_network_is_not_trained_by_gradients(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`train` names the command that fits it."""
    options = ("--data", folders[0], "--epochs", "1", "--output", tmp_path)
    assert _run("train", "tgsr_flow", *options) == 1
    assert "glimpse-export adapt tgsr_flow" in capsys.readouterr().err
