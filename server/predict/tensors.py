"""What a batch must look like on its way to a model and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from server.contract import ModelContract, TensorSpec
from server.errors import BackendFailed, ModelNotServable
from server.types import Float32Array


def check_inputs(contract: ModelContract, inputs: Mapping[str, Any]) -> int:
    """The batch size N of inputs that fit the contract: the names it lists, float32 [N, *dims], one N >= 1.

    Raises `ModelNotServable`, since a recipe whose tensors do not fit cannot feed the model.
    """
    wanted = {spec.name for spec in contract.inputs}
    if set(inputs) != wanted:
        raise _misfit(contract, f"it wants the inputs {sorted(wanted)}, not {sorted(inputs)}")
    sizes = set()
    for spec in contract.inputs:
        array = inputs[spec.name]
        if not isinstance(array, np.ndarray) or array.dtype != np.float32:
            kind = getattr(array, "dtype", type(array).__name__)
            raise _misfit(contract, f"input {spec.name!r} must be a float32 array, not {kind}")
        if array.ndim != len(spec.dims) + 1 or array.shape[1:] != spec.dims:
            raise _misfit(contract, f"input {spec.name!r} must be {_shape('N', spec)}, not {list(array.shape)}")
        sizes.add(array.shape[0])
    if len(sizes) != 1 or 0 in sizes:
        raise _misfit(contract, f"its inputs must share one batch size of at least 1, not {sorted(sizes)}")
    return int(sizes.pop())


def check_outputs(contract: ModelContract, outputs: Mapping[str, Any], size: int) -> dict[str, Float32Array]:
    """Outputs that the contract promises, float32 [size, *dims], all finite. Raises `BackendFailed`."""
    checked: dict[str, Float32Array] = {}
    for spec in contract.outputs:
        array = outputs.get(spec.name)
        if array is None:
            raise _no_answer(contract, f"output {spec.name!r} is missing")
        if array.dtype != np.float32 or array.shape != (size, *spec.dims):
            raise _no_answer(
                contract,
                f"output {spec.name!r} is {array.dtype} {list(array.shape)}, not float32 {_shape(size, spec)}",
            )
        if not np.isfinite(array).all():
            raise _no_answer(contract, f"output {spec.name!r} holds NaN or infinity")
        checked[spec.name] = array
    return checked


def zeros(contract: ModelContract, size: int = 1) -> dict[str, Float32Array]:
    """Inputs of the contract's shapes, float32 [size, *dims], all 0: for warming up and for probing."""
    return {spec.name: np.zeros((size, *spec.dims), dtype=np.float32) for spec in contract.inputs}


def batches(inputs: Mapping[str, Float32Array], size: int, largest: int) -> Iterator[dict[str, Float32Array]]:
    """Consecutive parts of a batch of `size` samples, each of at most `largest`."""
    for start in range(0, size, largest):
        yield {name: array[start : start + largest] for name, array in inputs.items()}


def joined(parts: Sequence[Mapping[str, Float32Array]]) -> dict[str, Float32Array]:
    """The parts of one batch, in order, as one."""
    if len(parts) == 1:
        return dict(parts[0])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _shape(size: int | str, spec: TensorSpec) -> str:
    return f"[{', '.join(str(dim) for dim in (size, *spec.dims))}]"


def _misfit(contract: ModelContract, what: str) -> ModelNotServable:
    return ModelNotServable(f"model {contract.name!r} cannot be fed: {what}", stage="inference")


def _no_answer(contract: ModelContract, what: str) -> BackendFailed:
    return BackendFailed(f"model {contract.name!r} gave no usable answer: {what}", stage="inference")
