"""A Triton backend in Python that answers to the name `onnxruntime`.

The Triton that installs with pip has no ONNX Runtime backend. This one serves the same folders as the one in
NVIDIA's container: `backend: "onnxruntime"` in config.pbtxt and `<version>/model.onnx` beside it. It runs in
Triton's own environment (numpy < 2) and imports nothing of the service.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Before the import: the library reads it once, and reports to its maker where it is missing.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

_DTYPES = {
    "TYPE_FP32": np.float32,
    "TYPE_FP64": np.float64,
    "TYPE_FP16": np.float16,
    "TYPE_INT64": np.int64,
    "TYPE_INT32": np.int32,
    "TYPE_UINT8": np.uint8,
    "TYPE_BOOL": np.bool_,
}


class TritonPythonModel:
    """One instance of one version of one model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the session. `args` is Triton's: the configuration as JSON, the model's folder and its version."""
        config = json.loads(args["model_config"])
        self._batched = int(config.get("max_batch_size", 0)) > 0
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = {tensor["name"]: _DTYPES[tensor["data_type"]] for tensor in config["output"]}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _integer(config, "intra_op_thread_count", 1)
        options.inter_op_num_threads = _integer(config, "inter_op_thread_count", 1)
        file = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"]) / args["model_version"] / file
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response per request, in order. Requests that Triton gathered into a batch are run as one."""
        responses: dict[int, Any] = {}
        waiting = []
        for position, request in enumerate(requests):
            if request.is_cancelled():
                responses[position] = _error("the client is gone", pb_utils.TritonError.CANCELLED)
            else:
                waiting.append((position, request, self._feed(request)))
        for position, request, outputs in self._run_all(waiting):
            failed = isinstance(outputs, Exception)
            responses[position] = (
                _error(str(outputs), pb_utils.TritonError.INTERNAL) if failed else self._response(request, outputs)
            )
        return [responses[position] for position in range(len(requests))]

    def _run_all(self, waiting: Sequence[tuple[int, Any, dict[str, Any]]]) -> list[tuple[int, Any, Any]]:
        if self._batched and len(waiting) > 1:
            try:
                return self._run_together(waiting)
            except Exception as error:  # noqa: BLE001 - one bad request must not fail the others: each is run alone below
                pb_utils.Logger.log_warn(f"a batch of {len(waiting)} failed and is split: {error}")
        results = []
        for position, request, feed in waiting:
            try:
                outcome: Any = self._run(feed)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer to this request
                outcome = error
            results.append((position, request, outcome))
        return results

    def _run_together(self, waiting: Sequence[tuple[int, Any, dict[str, Any]]]) -> list[tuple[int, Any, Any]]:
        merged = {name: np.concatenate([feed[name] for _, _, feed in waiting]) for name in self._inputs}
        ends = np.cumsum([len(feed[self._inputs[0]]) for _, _, feed in waiting])[:-1]
        parts = {name: np.split(array, ends) for name, array in self._run(merged).items()}
        return [
            (position, request, {name: arrays[i] for name, arrays in parts.items()})
            for i, (position, request, _) in enumerate(waiting)
        ]

    def _run(self, feed: dict[str, Any]) -> dict[str, Any]:
        names = list(self._outputs)
        return dict(zip(names, self._session.run(names, feed), strict=True))

    def _feed(self, request: Any) -> dict[str, Any]:
        return {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}

    def _response(self, request: Any, outputs: dict[str, Any]) -> Any:
        wanted = request.requested_output_names()
        tensors = [
            pb_utils.Tensor(name, np.ascontiguousarray(array, dtype=self._outputs[name]))
            for name, array in outputs.items()
            if not wanted or name in wanted
        ]
        return pb_utils.InferenceResponse(output_tensors=tensors)


def _error(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))


def _integer(config: dict[str, Any], name: str, default: int) -> int:
    # The name and the place are those that NVIDIA's own ONNX Runtime backend reads.
    value = config.get("parameters", {}).get(name, {}).get("string_value", "")
    return int(value) if value else default
