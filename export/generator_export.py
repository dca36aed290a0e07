"""The generator of ICE-GAN as an ONNX file, which is compared with torch before it is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch

from export.networks.icegan_generator import GENERATOR_INPUTS, GeneratorGraph
from export.onnx import onnx_bytes
from export.repository import replace_file
from server.errors import ConfigurationError

TOLERANCE = 1e-4
"""On the scale of -1..1, which the network paints on."""
_HALF_RANGE = 127.5
_BATCHES = (1, 5)


def write_generator(path: Path, graph: GeneratorGraph) -> float:
    """Write `graph` to `path` and return by how much torch and ONNX Runtime differ on random input, on the scale of
    -1..1. Raises `ConfigurationError`, and writes nothing, where that is more than `TOLERANCE`.
    """
    data = onnx_bytes(graph, GENERATOR_INPUTS)
    difference = _difference(data, graph)
    if not difference <= TOLERANCE:
        raise ConfigurationError(
            f"torch and ONNX Runtime differ by {difference:.1e} on the generator; {TOLERANCE:.0e} is allowed"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data)
    return difference


def _difference(data: bytes, graph: GeneratorGraph) -> float:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    largest = 0.0
    onset, label, noise = GENERATOR_INPUTS
    for size in _BATCHES:
        inputs = {
            onset.name: random.integers(0, 256, (size, *onset.dims)).astype(np.float32),
            label.name: np.eye(*label.dims, dtype=np.float32)[np.arange(size) % label.dims[0]],
            noise.name: random.standard_normal((size, *noise.dims)).astype(np.float32),
        }
        (found,) = session.run(["face"], inputs)
        with torch.inference_mode():
            wanted = graph(*[torch.from_numpy(value) for value in inputs.values()]).face.numpy()
        # Of several values np.max returns the one that is not a number, which max would pass over.
        largest = float(np.max([largest, np.abs(found - wanted).max() / _HALF_RANGE]))
    return largest
