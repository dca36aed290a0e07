"""Opens the face networks that lie beside this module, for use in one process."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np
import onnxruntime

from server.errors import ConfigurationError
from server.types import Float32Array

DETECTOR = "face_detection_short_range.onnx"
LANDMARKS = "face_landmark.onnx"


class Network:
    """One ONNX network on the CPU. `run` takes float32 [N, 3, H, W] and returns the named outputs in order."""

    def __init__(self, file: str, outputs: tuple[str, ...], threads: int) -> None:
        """Raises `ConfigurationError` when the file is missing or is not a network."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A worker shares its cores with others: waiting threads must sleep, not spin.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # The library's own heap only grows, and keeps what was in a picture; that of the process gives it back.
        options.enable_cpu_mem_arena = False
        data = resources.files("server.faces") / "assets" / file
        try:
            self._session = onnxruntime.InferenceSession(data.read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ConfigurationError(f"the face network {file} cannot be opened: {error}", stage="faces") from error
        self._outputs = list(outputs)

    def run(self, inputs: Float32Array) -> list[Float32Array]:
        """Raises nothing of its own for inputs of the right shape."""
        results: list[Any] = self._session.run(self._outputs, {"input": inputs})
        return [np.asarray(result, np.float32) for result in results]


def sigmoid(logits: Float32Array) -> Float32Array:
    """Logistic function, safe for any input."""
    bounded = np.clip(logits, -80, 80)
    return np.asarray(1 / (1 + np.exp(-bounded)), np.float32)
