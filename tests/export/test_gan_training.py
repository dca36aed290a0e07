"""Training ICE-GAN over data: discriminator and generator against each other."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from export.checkpoint import Checkpoint, checkpoint_bytes, load_checkpoint
from export.cli import main
from export.companions import companion_bytes, load_companion
from export.contact_sheet import contact_sheet
from export.event_training import train_on_events
from export.gan_training import GENERATOR
from export.networks.icegan import ICEGAN
from export.networks.icegan_generator import Generator, GeneratorGraph
from export.synthesis.action_units import UNITS
from export.synthesis.events import EventSamples
from export.training_plan import TrainingPlan
from export.training_progress import EpochReport
from server.errors import InputError

PLAN = TrainingPlan(epochs=2, batch_size=5, learning_rate=1e-4, weight_decay=0.0, warm_up=0.5)


@pytest.fixture(scope="module")
def samples() -> EventSamples:
    """Six people of noise, two samples each."""
    random = np.random.default_rng(0)
    onset = random.integers(0, 256, (12, 1, 128, 128)).astype(np.uint8)
    return EventSamples(
        "apex_gray_128",
        {"apex": random.integers(0, 256, onset.shape).astype(np.uint8)},
        np.arange(12) % 3,
        np.zeros((12, 2, len(UNITS)), np.float32),
        np.arange(12) // 2,
        {"onset": onset},
    )


def _train(samples: EventSamples, plan: TrainingPlan = PLAN, reports: list[EpochReport] | None = None) -> Checkpoint:
    on_epoch = reports.append if reports is not None else None
    return train_on_events("icegan", samples, plan, command="the command", on_epoch=on_epoch)


@pytest.fixture(scope="module")
def trained(samples: EventSamples) -> Checkpoint:
    return _train(samples)


def test_both_learn_and_say_so(samples: EventSamples) -> None:
    """The epoch of the warm-up tells the loss of the discriminator alone, the other one that of the generator too."""
    reports: list[EpochReport] = []
    checkpoint = _train(samples, reports=reports)
    assert [set(report.parts) for report in reports] == [set(), {GENERATOR}]
    assert all(math.isfinite(loss) for report in reports for loss in (report.loss, *report.parts.values()))
    assert [len(report.held_out.probabilities) for report in reports] == [2, 2]
    torch.manual_seed(PLAN.seed)
    for fresh, state in ((ICEGAN(), checkpoint.state), (Generator(), checkpoint.companions[GENERATOR])):
        moved = [name for name, value in fresh.named_parameters() if not torch.equal(value, state[name])]
        assert moved


def test_warm_up_leaves_the_generator_alone(samples: EventSamples) -> None:
    """Where all is warm-up the generator has the weights that it was drawn with, and the discriminator has not."""
    checkpoint = _train(samples, replace(PLAN, epochs=1, warm_up=1.0))
    torch.manual_seed(PLAN.seed)
    critic, generator = ICEGAN(), Generator()
    kept = checkpoint.companions[GENERATOR]
    assert all(torch.equal(value, kept[name]) for name, value in generator.named_parameters())
    assert not torch.equal(critic.expression.weight, checkpoint.state["expression.weight"])


def test_same_samples_same_bytes(samples: EventSamples, trained: Checkpoint) -> None:
    """Two runs give the same two files, another seed others."""
    torch.manual_seed(7)
    again = _train(samples)
    assert checkpoint_bytes(again) == checkpoint_bytes(trained)
    assert companion_bytes(again, GENERATOR) == companion_bytes(trained, GENERATOR)
    other = _train(samples, replace(PLAN, seed=1))
    assert companion_bytes(other, GENERATOR) != companion_bytes(trained, GENERATOR)


def test_the_generator_has_a_file_of_its_own(trained: Checkpoint, tmp_path: Path) -> None:
    """It is read back as it was, with how it was trained, and refused for what it is not."""
    path = tmp_path / "generator.pth"
    path.write_bytes(companion_bytes(trained, GENERATOR))
    model = Generator()
    assert load_companion(path, "icegan", GENERATOR, model)["command"] == "the command"
    assert all(torch.equal(value, trained.companions[GENERATOR][name]) for name, value in model.state_dict().items())
    with pytest.raises(InputError, match="does not hold the other that was trained beside icegan"):
        load_companion(path, "icegan", "other", Generator())
    with pytest.raises(InputError, match="enter.0.weight has shape"):
        load_companion(path, "icegan", GENERATOR, Generator(width=8))
    path.write_bytes(checkpoint_bytes(trained))
    with pytest.raises(InputError, match="does not hold the generator"):
        load_companion(path, "icegan", GENERATOR, Generator())
    with pytest.raises(InputError, match="cannot be read"):
        load_companion(tmp_path / "none", "icegan", GENERATOR, Generator())


def test_a_sheet_shows_every_class_of_every_person(samples: EventSamples) -> None:
    """A row for each sample: onset, apex, three faces, and four changes, which are even where nothing changes."""
    torch.manual_seed(0)
    generator = Generator().eval()
    torch.nn.init.zeros_(generator.leave.weight)
    assert generator.leave.bias is not None
    torch.nn.init.zeros_(generator.leave.bias)
    few = replace(samples.of_people(samples.people == 0), inputs={"apex": samples.extras["onset"][:2]})
    sheet = contact_sheet(GeneratorGraph(generator), few, seed=0)
    tiles = sheet.reshape(2, 148, 9, 132).transpose(0, 2, 1, 3)[:, :, 20:, :128]
    for column in range(5):
        np.testing.assert_array_equal(tiles[:, column], few.extras["onset"][:, 0])
    assert set(np.unique(tiles[:, 5:])) <= {127, 128}


def test_one_command_trains_publishes_and_another_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real rendered faces: the discriminator is served, the generator lies beside its weights, becomes a graph that
    agrees with torch, and a sheet of people who were not trained on.
    """
    monkeypatch.chdir(tmp_path)
    train = ["train", "icegan", "--data", "synthetic", "--samples", "102", "--epochs", "1", "--processes", "1"]
    assert _run([*train, "--publish", "--repository", "models", "--flow", "fast"]) == 0
    run = tmp_path / "runs" / "icegan-seed0"
    assert json.loads((run / "result.json").read_text())["people"] == 5
    load_checkpoint(run / "weights.pth", "icegan")
    assert (tmp_path / "models" / "icegan" / "1" / "model.onnx").is_file()
    exports = ["generator", str(run / "generator.pth"), "--onnx", "g/face.onnx", "--sheet", "g/sheet.png"]
    assert _run([*exports, "--people", "2"]) == 0
    assert "torch and ONNX Runtime differ" in capsys.readouterr().err
    session = onnxruntime.InferenceSession(tmp_path / "g" / "face.onnx")
    assert [value.name for value in session.get_inputs()] == ["onset", "label", "noise"]
    assert cv2.imread(str(tmp_path / "g" / "sheet.png"), cv2.IMREAD_GRAYSCALE).shape == (2 * 148, 9 * 132)
    assert _run(["generator", str(run / "generator.pth")]) == 1
    assert _run([*exports, "--people", "99"]) == 1


def _run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)
