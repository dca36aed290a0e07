"""Weights as Keras keeps them, and the way from its axes to those of PyTorch.

A kernel of Keras has its input and output channels last; a dense layer behind Flatten reads a volume in the order of
Keras's axes, which for channels first depends on what Flatten does: from 2.1.6 on it may put the channels last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from server.errors import InputError, OptionError

Flatten: TypeAlias = Literal["channels_first", "channels_last"]
"""Where the channels are in the vector that Flatten makes: the slowest of its axes, or the fastest."""

Array: TypeAlias = NDArray[np.float32]

_FLATTEN_MAY_MOVE = (2, 1, 6)
_FLIPPED = "theano"
_KNOWN_BACKENDS = {"", "tensorflow", "cntk", "jax", "torch", _FLIPPED}
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "InputLayer": {},
    "Conv3D": {"padding": "valid", "strides": [1, 1, 1], "dilation_rate": [1, 1, 1], "groups": 1, "use_bias": True},
    "MaxPooling3D": {"padding": "valid", "pool_size": [3, 3, 3], "strides": [3, 3, 3]},
    "Dropout": {},
    "Flatten": {},
    "Dense": {"use_bias": True},
    "Activation": {},
    "Concatenate": {},
}
"""Layers that the networks of these files have, and how they must be set where the file says so."""


@dataclass(frozen=True, slots=True)
class KerasLayer:
    """A layer with weights: `kernel` float32 [..., in, out], `bias` float32 [out]."""

    name: str
    kernel: Array
    bias: Array

    @property
    def number(self) -> int:
        """The number at the end of the name, by which Keras counts layers of a kind as they are made; 0 without one."""
        found = re.search(r"_(\d{1,9})$", self.name)
        return int(found.group(1)) if found else 0


@dataclass(frozen=True, slots=True)
class KerasWeights:
    """The layers of a file in its order, the Keras and the backend that wrote it, empty where it does not say, and the
    configuration of the whole model, None in a file of weights alone.
    """

    layers: tuple[KerasLayer, ...]
    version: str
    backend: str
    configuration: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class KerasOptions:
    """What a file cannot say: `flatten`, where it holds weights alone, and `scaling`, the mean that was taken off the
    grey levels of each input and what they were then divided by; (127.5, 127.5) each unless given.
    """

    flatten: Flatten | None = None
    scaling: tuple[tuple[float, float], ...] = ()


def check_layers(weights: KerasWeights, hidden_activation: str) -> None:
    """That the model is one of a 3D convolution, pooling and dense layers, the inner ones with `hidden_activation`.

    Raises `InputError`. A file of weights alone says nothing of that.
    """
    if weights.version.startswith("1.") or not weights.version:
        raise InputError("it was written by Keras 1, or does not say by which; kernels had other axes then")
    if weights.backend not in _KNOWN_BACKENDS:
        raise InputError(f"it was written with the backend {weights.backend!r}, whose kernels are not known")
    dense = []
    for kind, settings in _layers(weights.configuration) if weights.configuration is not None else ():
        if kind not in _SETTINGS:
            raise InputError(f"its model has a layer of the kind {kind!r}, which the network has not; it is not run")
        for name, wanted in _SETTINGS[kind].items():
            if settings.get(name, wanted) != wanted:
                raise InputError(f"its {kind} has {name} {settings[name]!r}, not {wanted!r}")
        if kind == "Dense":
            dense.append(settings.get("activation", hidden_activation))
    wrong = [name for name in dense[:-1] if name != hidden_activation]
    if wrong or (dense and dense[-1] not in {"linear", "softmax"}):
        raise InputError(f"its dense layers have the activations {dense}, where inner ones are {hidden_activation!r}")


def flatten_order(weights: KerasWeights, asked: Flatten | None) -> Flatten:
    """How Flatten lays out the volume, of which the dense layer's rows are.

    Raises `InputError` where configuration and option contradict each other, or the configuration itself; `OptionError`
    where neither says.
    """
    if weights.configuration is None:
        if asked is None and _version(weights.version) < _FLATTEN_MAY_MOVE:
            return "channels_first"
        if asked is None:
            raise OptionError(
                f"weights alone, of Keras {weights.version}, do not tell where Flatten put the channels: say "
                "--flatten channels_first or --flatten channels_last, or import what model.save wrote",
                option="flatten",
            )
        return asked
    found: dict[str, set[str]] = {"Conv3D": set(), "Flatten": set()}
    for kind, settings in _layers(weights.configuration):
        if kind in found:
            found[kind].add(str(settings.get("data_format", "channels_last")))
    if len(found["Conv3D"]) != 1 or len(found["Flatten"]) != 1:
        raise InputError("its convolutions or its Flatten layers do not agree on one data format")
    (volume,), (flatten,) = found["Conv3D"], found["Flatten"]
    if volume == "channels_last" and flatten == "channels_first":
        raise InputError("its Flatten takes time for channels, since its convolutions have channels last")
    order: Flatten = "channels_first" if (volume, flatten) == ("channels_first", "channels_last") else "channels_last"
    if asked not in (None, order):
        raise InputError(f"its model has the order {order}, not {asked}")
    return order


def layers_of(weights: KerasWeights, shape: tuple[int, ...], count: int) -> Sequence[KerasLayer]:
    """The `count` layers with kernels of `shape`, in the order in which they were made. Raises `InputError`."""
    found = sorted((layer for layer in weights.layers if layer.kernel.shape == shape), key=lambda layer: layer.number)
    if len(found) != count or any(layer.bias.shape != shape[-1:] for layer in found):
        listed = ", ".join(str(list(layer.kernel.shape)) for layer in weights.layers) or "none"
        raise InputError(f"it needs {count} kernels of {list(shape)}, each with its bias, and has kernels of {listed}")
    return found


def volume_kernel(weights: KerasWeights, kernel: Array) -> Tensor:
    """float32 [out, in, time, row, column] of a kernel [row, column, time, in, out]."""
    straight = kernel[::-1, ::-1, ::-1] if weights.backend == _FLIPPED else kernel
    return _tensor(straight.transpose(4, 3, 2, 0, 1))


def behind_flatten(kernel: Array, volume: tuple[int, int, int, int], order: Flatten) -> Tensor:
    """float32 [out, channels * time * rows * columns] of the kernel [features, out] behind a volume, whose `volume` is
    (channels, time, rows, columns).
    """
    channels, time, rows, columns = volume
    if order == "channels_first":
        split = kernel.reshape(channels, rows, columns, time, -1).transpose(0, 3, 1, 2, 4)
    else:
        split = kernel.reshape(rows, columns, time, channels, -1).transpose(3, 2, 0, 1, 4)
    return _tensor(split.reshape(kernel.shape[0], -1).T)


def dense_kernel(kernel: Array) -> Tensor:
    """float32 [out, in] of a kernel [in, out]."""
    return _tensor(kernel.T)


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _layers(configuration: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    inner = configuration.get("config")
    listed = inner.get("layers") if isinstance(inner, dict) else inner
    if not isinstance(listed, list):
        raise InputError("its model_config has no list of layers")
    found: list[tuple[str, Mapping[str, Any]]] = []
    for layer in listed:
        settings = layer.get("config") if isinstance(layer, dict) else None
        if not isinstance(settings, dict):
            raise InputError("a layer of its model_config is not described by an object")
        kind = str(layer.get("class_name"))
        found.append(("Conv3D" if kind == "Convolution3D" else kind, settings))
    return found


def _version(text: str) -> tuple[int, ...]:
    found = re.match(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else ()
