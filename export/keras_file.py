"""Weights of Keras from HDF5, by `model.save` or by `save_weights`, without Keras.

Arrays and a few short attributes are read, and the configuration as JSON, to be compared and never run. A file that
points outside itself, or whose arrays are not plain and stored whole, is refused: Keras writes neither.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from export.networks.keras_weights import KerasLayer, KerasWeights
from export.weight_files import HDF5_MAGIC
from server.errors import InputError

LARGEST_ELEMENTS = 1 << 28
_MOST_NAMES = 256
_LONGEST_NAME = 200
_LONGEST_CONFIGURATION = 1 << 20
_SAVED_MODEL = "model_weights"
_AXES = 5


def read_keras(data: bytes, path: Path) -> KerasWeights:
    """Kernels and biases in the order of the file, and what it says of its model.

    Raises `InputError`, naming `path`, where it is not such a file or holds anything unusual.
    """
    if not data.startswith(HDF5_MAGIC):
        raise InputError(f"{path} is not an HDF5 file")
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return _Reader(path).read(file)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise InputError(f"{path} cannot be read as HDF5: {error}") from error


class _Reader:
    """Reads one file; `path` is for messages."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, file: h5py.File) -> KerasWeights:
        group = self._child(file, _SAVED_MODEL, h5py.Group) if _SAVED_MODEL in file else file
        version = self._text(group, "keras_version") or self._text(file, "keras_version")
        backend = self._text(group, "backend") or self._text(file, "backend")
        layers = [
            layer
            for name in self._names(group, "layer_names")
            if (layer := self._layer(self._child(group, name, h5py.Group), name)) is not None
        ]
        return KerasWeights(tuple(layers), version, backend, self._configuration(file))

    def _layer(self, group: h5py.Group, name: str) -> KerasLayer | None:
        names = self._names(group, "weight_names")
        if not names:
            return None
        arrays = [self._array(group, weight) for weight in names]
        if len(arrays) != 2 or arrays[1].ndim != 1:
            raise InputError(f"{self._path}: layer {name!r} holds {', '.join(names)}, not a kernel and a bias")
        return KerasLayer(name, arrays[0], arrays[1])

    def _array(self, group: h5py.Group, name: str) -> NDArray[np.float32]:
        parts = name.split("/")
        for part in parts[:-1]:
            group = self._child(group, part, h5py.Group)
        found = self._child(group, parts[-1], h5py.Dataset)
        unusual = found.is_virtual or found.external or found.chunks is not None or found.dtype.kind != "f"
        if unusual or found.ndim > _AXES:
            raise InputError(f"{self._path}: {name} is not a plain array of numbers stored in the file")
        if found.size > LARGEST_ELEMENTS or found.id.get_storage_size() != found.size * found.dtype.itemsize:
            raise InputError(f"{self._path}: {name} has shape {list(found.shape)}, which is not what is stored")
        array = found[()].astype(np.float32)
        if not np.isfinite(array).all():
            raise InputError(f"{self._path}: {name} holds values that are not finite")
        return cast("NDArray[np.float32]", array)

    def _child(self, group: h5py.Group, name: str, kind: type) -> Any:
        # Opening a link that is not a hard one opens another file, or goes in circles.
        if not name or name in {".", ".."} or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise InputError(f"{self._path}: {name!r} is missing, or points elsewhere")
        found = group[name]
        if not isinstance(found, kind):
            raise InputError(f"{self._path}: {name!r} is not a {kind.__name__.lower()}")
        return found

    def _names(self, group: h5py.Group, attribute: str) -> Sequence[str]:
        if attribute not in group.attrs:
            raise InputError(f"{self._path} is not a file of Keras weights: {group.name} lists no {attribute}")
        facts = group.attrs.get_id(attribute)
        if len(facts.shape) != 1 or facts.shape[0] > _MOST_NAMES or facts.dtype.itemsize > _LONGEST_NAME:
            raise InputError(f"{self._path}: {attribute} of {group.name} is not a short list of names")
        return [self._decoded(name, attribute, _LONGEST_NAME) for name in group.attrs[attribute]]

    def _text(self, group: h5py.Group, attribute: str, longest: int = _LONGEST_NAME) -> str:
        if attribute not in group.attrs:
            return ""
        if group.attrs.get_id(attribute).shape != ():
            raise InputError(f"{self._path}: {attribute} is not a text")
        return self._decoded(group.attrs[attribute], attribute, longest)

    def _decoded(self, value: Any, attribute: str, longest: int) -> str:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if not isinstance(text, str) or len(text) > longest:
            raise InputError(f"{self._path}: {attribute} is not a text of at most {longest} characters")
        return text

    def _configuration(self, file: h5py.File) -> dict[str, Any] | None:
        text = self._text(file, "model_config", _LONGEST_CONFIGURATION)
        if not text:
            return None
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self._path}: model_config is not JSON, which is all that is read") from error
        if not isinstance(found, dict):
            raise InputError(f"{self._path}: model_config is not an object")
        return found
