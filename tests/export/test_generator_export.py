"""From training ICE-GAN to its generator as an ONNX graph and a sheet."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from export.checkpoint import load_checkpoint
from export.cli import main
from export.generator_export import TOLERANCE, write_generator
from export.networks.icegan import scaled
from export.networks.icegan_generator import NOISE, Generator, GeneratorGraph
from server.errors import ConfigurationError


@pytest.fixture(scope="module")
def generator() -> Generator:
    """A narrow one with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Generator(width=4).eval()


@pytest.fixture(scope="module")
def written(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its graph, in a folder that was not there."""
    path = tmp_path_factory.mktemp("generator") / "new" / "face.onnx"
    assert write_generator(path, GeneratorGraph(generator).eval()) <= TOLERANCE
    return path


def test_the_graph_makes_the_faces_of_the_network(generator: Generator, written: Path) -> None:
    """Grey levels and a class as one of three numbers go in, the face that training knows comes out, for any batch."""
    random = np.random.default_rng(1)
    onset = random.integers(0, 256, (4, 1, 128, 128)).astype(np.float32)
    wanted, noise = np.array([2, 0, 1, 1]), random.standard_normal((4, NOISE)).astype(np.float32)
    session = onnxruntime.InferenceSession(written, providers=["CPUExecutionProvider"])
    (face,) = session.run(None, {"onset": onset, "label": np.eye(3, dtype=np.float32)[wanted], "noise": noise})
    with torch.inference_mode():
        expected = generator(scaled(torch.from_numpy(onset)), torch.from_numpy(wanted), torch.from_numpy(noise))
    np.testing.assert_allclose(face / 127.5 - 1, expected.numpy(), atol=TOLERANCE)


def test_a_graph_that_differs_is_not_written(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the tolerance, as with the graph of other weights, there is an error and no file."""
    monkeypatch.setattr("export.generator_export.onnx_bytes", lambda *_: written.read_bytes())
    with pytest.raises(ConfigurationError, match="differ by"):
        write_generator(tmp_path / "face.onnx", GeneratorGraph(Generator(width=4)).eval())
    assert not list(tmp_path.iterdir())


def test_one_command_trains_and_publishes_and_another_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On rendered faces: the discriminator is served, the generator lies beside its weights, becomes a graph, and a
    sheet shows it on people who were not trained on, of whom there are not any number.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("export.event_training.HELD_OUT_EVERY", 2)
    train = ["train", "icegan", "--data", "synthetic", "--samples", "22", "--epochs", "1", "--processes", "1"]
    assert _run([*train, "--publish", "--repository", "models"]) == 0
    run = tmp_path / "runs" / "icegan-seed0"
    assert json.loads((run / "result.json").read_text())["samples"] == 20
    load_checkpoint(run / "weights.pth", "icegan")
    assert (tmp_path / "models" / "icegan" / "1" / "model.onnx").is_file()
    exports = ["generator", str(run / "generator.pth"), "--onnx", "g/face.onnx", "--sheet", "g/sheet.png"]
    assert _run([*exports, "--people", "2"]) == 0
    assert "torch and ONNX Runtime differ" in capsys.readouterr().err
    session = onnxruntime.InferenceSession(tmp_path / "g" / "face.onnx", providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["onset", "label", "noise"]
    sheet = cv2.imread(str(tmp_path / "g" / "sheet.png"), cv2.IMREAD_GRAYSCALE)
    assert sheet is not None
    assert sheet.shape == (2 * 148, 9 * 132)
    assert _run(["generator", str(run / "generator.pth")]) == 1
    assert _run([*exports, "--people", "99"]) == 1


def _run(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)
