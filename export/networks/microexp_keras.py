"""Weights of MicroExpSTCNN and MicroExpFuseNet as their authors' code saves them from Keras.

Reddy, Karri, Dubey and Mukherjee, IJCNN 2019, arXiv 1904.01390. Their volumes have rows, columns and time in this
order, ours have time first. What their clips were centred and scaled by is not in the file: `KerasOptions.scaling` says
it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from export.networks.keras_weights import (
    Array,
    Flatten,
    KerasLayer,
    KerasOptions,
    KerasWeights,
    behind_flatten,
    check_layers,
    dense_kernel,
    flatten_order,
    layers_of,
    volume_kernel,
)
from export.networks.network import Adopted, Weights
from server.errors import OptionError

_FILTERS = 32
_KERNEL = (3, 3, 15, 1, _FILTERS)
_HIDDEN, _WIDE, _NARROW, _CLASSES = 128, 1024, 128, 3
_FACE = (_FILTERS, 1, 20, 20)
_REGION = (_FILTERS, 1, 10, 10)
"""Channels, times, rows and columns behind pooling, of 18 frames of 64 and of 32 px."""
_MIDDLE = (127.5, 127.5)
_AS_IS = Weights(preparation="as_is")
_GUESSED = (
    "the file does not say what its grey levels were centred and scaled by: 127.5 and 127.5 are assumed; --scaling "
    "MEAN,PEAK says otherwise"
)


def adopt_face(weights: KerasWeights, options: KerasOptions) -> Adopted:
    """State of `microexpstcnn` from a file of MicroExpSTCNN for 18 frames. Raises `InputError`, `OptionError`."""
    check_layers(weights, "relu")
    state, notes = _streams(weights, options, ("stream",))
    order = flatten_order(weights, options.flatten)
    (hidden,) = layers_of(weights, (_size(_FACE), _HIDDEN), 1)
    (last,) = layers_of(weights, (_HIDDEN, _CLASSES), 1)
    state |= _dense("head.0", behind_flatten(hidden.kernel, _FACE, order), hidden)
    state |= _dense("head.3", dense_kernel(last.kernel), last)
    return Adopted(state, _AS_IS, notes)


def adopt_intermediate(weights: KerasWeights, options: KerasOptions) -> Adopted:
    """State of `microexpfusenet_intermediate`. Raises `InputError`, `OptionError`."""
    check_layers(weights, "linear")
    state, notes = _streams(weights, options, ("eyes", "mouth"))
    order = flatten_order(weights, options.flatten)
    (wide,) = layers_of(weights, (2 * _size(_REGION), _WIDE), 1)
    (narrow,) = layers_of(weights, (_WIDE, _NARROW), 1)
    (last,) = layers_of(weights, (_NARROW, _CLASSES), 1)
    halves = [_region(half, order) for half in (wide.kernel[: _size(_REGION)], wide.kernel[_size(_REGION) :])]
    state |= _dense("head.0", torch.cat(halves, dim=1), wide)
    state |= _dense("head.2", dense_kernel(narrow.kernel), narrow)
    state |= _dense("head.4", dense_kernel(last.kernel), last)
    return Adopted(state, _AS_IS, notes)


def adopt_late(weights: KerasWeights, options: KerasOptions) -> Adopted:
    """State of `microexpfusenet_late`. Raises `InputError`, `OptionError`."""
    check_layers(weights, "linear")
    state, notes = _streams(weights, options, ("eyes", "mouth"))
    order = flatten_order(weights, options.flatten)
    wide = layers_of(weights, (_size(_REGION), _WIDE), 2)
    narrow = layers_of(weights, (_WIDE, _NARROW), 2)
    (last,) = layers_of(weights, (2 * _NARROW, _CLASSES), 1)
    for number in range(2):
        tower = f"head.towers.{number}"
        state |= _dense(f"{tower}.0", _region(wide[number].kernel, order), wide[number])
        state |= _dense(f"{tower}.2", dense_kernel(narrow[number].kernel), narrow[number])
    state |= _dense("head.last", dense_kernel(last.kernel), last)
    return Adopted(state, _AS_IS, notes)


def _streams(
    weights: KerasWeights, options: KerasOptions, names: Sequence[str]
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The convolutions, in the order in which the authors make them, and the scaling of their inputs."""
    if options.scaling and len(options.scaling) != len(names):
        raise OptionError(f"--scaling is needed once for each of {', '.join(names)}", option="scaling")
    scaling = options.scaling or (_MIDDLE,) * len(names)
    state = {}
    for name, layer, (mean, peak) in zip(names, layers_of(weights, _KERNEL, len(names)), scaling, strict=True):
        state[f"{name}.mean"], state[f"{name}.peak"] = torch.tensor(mean), torch.tensor(peak)
        state |= _dense(f"{name}.conv", volume_kernel(weights, layer.kernel), layer)
    return state, () if options.scaling else (_GUESSED,)


def _region(kernel: Array, order: Flatten) -> Tensor:
    return behind_flatten(kernel, _REGION, order)


def _dense(name: str, weight: Tensor, layer: KerasLayer) -> dict[str, Tensor]:
    return {f"{name}.weight": weight, f"{name}.bias": torch.from_numpy(layer.bias)}


def _size(volume: tuple[int, int, int, int]) -> int:
    channels, time, rows, columns = volume
    return channels * time * rows * columns
