"""The face networks: their origin, their determinism, and parity with the published graphs."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
from skimage.data import astronaut

import server.faces
from export.faces import CHECKSUMS, NETWORKS, FaceNetwork, build_faces, fetch_wheel, read_network
from export.tflite import convert
from server.errors import ConfigurationError

ASSETS = Path(server.faces.__file__).parent / "assets"
FACE = (slice(30, 200), slice(140, 310))
IDS = [network.file for network in NETWORKS]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published wheel, fetched once per run."""
    try:
        return fetch_wheel(tmp_path_factory.mktemp("wheel"))
    except ConfigurationError as error:
        pytest.skip(f"the published networks cannot be fetched here: {error}")


@pytest.fixture(scope="session")
def built(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build makes of that wheel."""
    folder = tmp_path_factory.mktemp("faces")
    build_faces(folder, wheel)
    return folder


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _published(network: FaceNetwork, wheel: Path) -> tuple[Any, dict[str, int]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=read_network(wheel, network), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter, {network.outputs[o["name"]]: o["index"] for o in interpreter.get_output_details()}


def _inputs(side: int) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    face = cv2.resize(astronaut()[FACE], (side, side), interpolation=cv2.INTER_AREA)
    unit = np.ascontiguousarray(face[None], dtype=np.float32) / 255
    return [unit, unit[:, :, ::-1].copy(), unit * 2 - 1, *rng.uniform(-1, 1, (4, 1, side, side, 3)).astype(np.float32)]


@pytest.mark.parametrize("network", NETWORKS, ids=IDS)
def test_the_network_answers_as_published(network: FaceNetwork, wheel: Path, built: Path) -> None:
    """Every output agrees with the published graph within 2e-4, on faces and on noise, alone and as one batch."""
    interpreter, indices = _published(network, wheel)
    session = _session(built / network.file)
    inputs = _inputs(session.get_inputs()[0].shape[2])
    names = list(network.outputs.values())
    batch = session.run(names, {"input": np.concatenate(inputs).transpose(0, 3, 1, 2)})
    for position, sample in enumerate(inputs):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], sample)
        interpreter.invoke()
        alone = session.run(names, {"input": sample.transpose(0, 3, 1, 2)})
        for name, one, many in zip(names, alone, batch, strict=True):
            expected = interpreter.get_tensor(indices[name]).ravel()
            assert np.abs(expected).max() > 0.1
            np.testing.assert_allclose(one.ravel(), expected, rtol=0, atol=2e-4)
            np.testing.assert_allclose(many[position].ravel(), expected, rtol=0, atol=2e-4)


def test_the_committed_networks_are_the_published_ones(built: Path) -> None:
    """Building again gives the committed files, byte for byte."""
    names = {path.name for path in built.iterdir()}
    assert names == {path.name for path in ASSETS.iterdir()}
    for name in names:
        assert (built / name).read_bytes() == (ASSETS / name).read_bytes(), name


def test_the_checksums_match_the_committed_networks() -> None:
    """`SHA256SUMS` names every committed network with its hash."""
    lines = [line.split("  ") for line in (ASSETS / CHECKSUMS).read_text().splitlines()]
    assert {name for _, name in lines} == set(IDS)
    for digest, name in lines:
        assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == digest


def test_a_forged_network_is_refused(tmp_path: Path) -> None:
    """A wheel whose network is not the pinned one is refused."""
    forged = tmp_path / "forged.whl"
    with zipfile.ZipFile(forged, "w") as archive:
        archive.writestr(NETWORKS[0].member, b"not the network")
    with pytest.raises(ConfigurationError, match="not the published file"):
        build_faces(tmp_path / "out", forged)


def test_a_wheel_without_networks_is_refused(tmp_path: Path) -> None:
    """A wheel that lacks the network, or is no archive, is refused by name."""
    empty = tmp_path / "empty.whl"
    with zipfile.ZipFile(empty, "w"):
        pass
    noise = tmp_path / "noise.whl"
    noise.write_bytes(b"noise")
    for path in (empty, noise):
        with pytest.raises(ConfigurationError, match=path.name):
            read_network(path, NETWORKS[0])


def test_unknown_outputs_are_refused(wheel: Path) -> None:
    """Renaming an output that the graph does not have is an error, not a silent omission."""
    with pytest.raises(ConfigurationError, match="outputs are"):
        convert(read_network(wheel, NETWORKS[0]), name="detector", outputs={"boxes": "boxes"})


def test_progress_is_told(wheel: Path, tmp_path: Path) -> None:
    """Each network is announced before it is converted."""
    told: list[str] = []
    build_faces(tmp_path, wheel, told.append)
    assert [name in line for name, line in zip(IDS, told, strict=True)] == [True, True]
