"""`glimpse-export train`: seeds, sources, plans, and going on where a run stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from export.checkpoint import Checkpoint, checkpoint_bytes, load_checkpoint
from export.cli import main
from export.synthesis.flow_fields import synthesize_flow
from export.synthesis.flow_files import write_flow_samples

SMALL = ("--samples", "64", "--epochs", "1", "--processes", "1")


def _run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main(["train", "ststnet", *(str(argument) for argument in arguments)])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of synthetic samples in the format of real ones."""
    folder = tmp_path_factory.mktemp("data") / "folder"
    write_flow_samples(folder, synthesize_flow(30, seed=3))
    return folder


def test_every_seed_has_a_folder_of_its_own(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights, log and result of each seed lie in a folder that is called by it."""
    assert _run("--data", data, "--seeds", "0,4", "--epochs", "2", "--output", tmp_path) == 0
    printed = capsys.readouterr()
    assert printed.out.split() == [str(tmp_path / f"seed{seed}" / "weights.pth") for seed in (0, 4)]
    assert "seed 4" in printed.err
    for seed in (0, 4):
        folder = tmp_path / f"seed{seed}"
        assert len((folder / "log.jsonl").read_text().splitlines()) == 2
        result = json.loads((folder / "result.json").read_text())
        assert (result["seed"], result["epochs"], result["samples"]) == (seed, 2, 27)
        assert result["weights_sha256"] == load_checkpoint(folder / "weights.pth", "ststnet").sha256


def test_resumed_command_does_not_repeat_epochs(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--resume` on a finished run writes the same weights without an epoch; another plan is refused."""
    options = ("--data", data, "--output", tmp_path, "--resume")
    assert _run(*options, "--epochs", "2") == 0
    first = load_checkpoint(tmp_path / "weights.pth", "ststnet")
    assert "epoch 2/2" in capsys.readouterr().err
    assert _run(*options, "--epochs", "2") == 0
    assert "epoch" not in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "weights.pth", "ststnet").sha256 == first.sha256
    assert _run(*options, "--epochs", "3") == 1
    assert "epochs is 2 there and 3 here" in capsys.readouterr().err


@pytest.mark.usefixtures("few_held_out")
def test_synthetic_and_real_samples_are_mixed(data: Path, tmp_path: Path) -> None:
    """Both sources are in the result with their shares; held-out scores are told for each."""
    assert _run("--data", "synthetic", "--data", data, "--mix", "2,1", *SMALL, "--output", tmp_path) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    drawn = {source["name"]: (source["samples"], source["drawn"]) for source in result["sources"]}
    assert drawn == {"synthetic": (64, 61), "folder": (27, 30)}
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert line["sources"].keys() == {"synthetic", "folder"}


def test_folders_of_one_name_are_told_apart(data: Path, tmp_path: Path) -> None:
    """Two folders may be called alike."""
    other = tmp_path / "folder"
    write_flow_samples(other, synthesize_flow(30, seed=4))
    assert _run("--data", data, "--data", other, "--epochs", "1", "--output", tmp_path / "run") == 0
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert [source["name"] for source in result["sources"]] == ["folder", "folder-2"]


def test_weights_are_fine_tuned_unless_another_plan_is_asked_for(
    data: Path, tmp_path: Path, checkpoint: Checkpoint
) -> None:
    """From weights the smaller steps are taken, or those of a training from scratch on demand."""
    start = tmp_path / "start.pth"
    start.write_bytes(checkpoint_bytes(checkpoint))
    for plan, rate in (((), 1e-3), (("--plan", "scratch"), 3e-3)):
        assert _run("--data", data, "--weights", start, *plan, "--epochs", "1", "--output", tmp_path / "run") == 0
        result = json.loads((tmp_path / "run" / "result.json").read_text())
        assert result["learning_rate"] == rate
        assert result["start_sha256"] == load_checkpoint(start, "ststnet").sha256


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--data", "synthetic", "--seeds", "0,1", "--publish"), "--publish needs one seed"),
        (("--data", "synthetic", "--seed", "1", "--seeds", "0,1"), "exclude each other"),
        (("--data", "synthetic", "--seeds", "1,1"), "once each"),
        (("--data", "synthetic", "--plan", "fine-tune"), "needs --weights"),
        (("--data", "synthetic", "--data", "x", "--mix", "1"), "--mix needs 2 numbers"),
        (("--data", "synthetic", "--data", "x", "--mix", "1,many"), "--mix is numbers"),
        (("--data", "synthetic", "--data", "x", "--mix", "1,0"), "--mix needs 2 numbers above 0"),
        (("--data", "synthetic", "--mix", "nan"), "--mix needs 1 numbers above 0"),
        (("--data", "synthetic", "--data", "synthetic"), "names a source twice"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Contradictions are found before anything is made."""
    assert _run(*options) == 1
    printed = capsys.readouterr().err
    assert said in printed
    assert "synthesising" not in printed


def test_network_that_is_not_trained_says_so_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A network that is solved for in another way costs no data."""
    with pytest.raises(SystemExit) as end:
        main(["train", "tgsr_flow", "--data", "synthetic"])
    assert end.value.code == 1
    printed = capsys.readouterr().err
    assert "not trained" in printed
    assert "synthesising" not in printed


def test_folder_is_refused_where_magnitude_is_wanted(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Stretched images cannot train a network that sees magnitude, alone or beside synthetic samples."""
    with pytest.raises(SystemExit) as end:
        main(["train", "glimpse_flow_iod", "--data", "synthetic", "--data", str(data)])
    assert end.value.code == 1
    printed = capsys.readouterr().err
    assert "glimpse_flow_iod takes flow_uvs_28_iod" in printed
    assert "synthesising" not in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_gpu_is_said_before_data_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody synthesises for minutes to be told that there is no GPU."""
    assert _run("--data", "synthetic", "--device", "cuda") == 1
    printed = capsys.readouterr().err
    assert "no CUDA device" in printed
    assert "synthesising" not in printed


def test_a_missing_folder_is_named_before_samples_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong path costs no synthesis, wherever it stands."""
    assert _run("--data", "synthetic", "--data", tmp_path / "none", *SMALL, "--output", tmp_path / "run") == 1
    printed = capsys.readouterr().err
    assert str(tmp_path / "none") in printed
    assert "synthesising" not in printed
