"""What a file of weights is, and its bytes: PyTorch archives, safetensors and the HDF5 files of Keras.

Nothing in any of them is run. A file is read once, and refused where it is larger than any network here.
"""

from __future__ import annotations

import json
import stat
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from torch import Tensor

from server.errors import InputError

Kind: TypeAlias = Literal["pytorch", "safetensors", "keras"]

LARGEST_BYTES = 2 << 30
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_SUFFIXES: dict[str, Kind] = {".safetensors": "safetensors", ".h5": "keras", ".hdf5": "keras"}
_ARCHIVE = ".keras"
_METADATA_ENTRIES, _METADATA_LENGTH = 64, 2000
_FRAMEWORK = "pt"


def read_bounded(path: Path) -> bytes:
    """The content of `path`. Raises `InputError` where it is no plain file, cannot be read, or is too large."""
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise InputError(f"{path} is not a file")
        if facts.st_size > LARGEST_BYTES:
            raise InputError(f"{path} has {facts.st_size} bytes; weights of at most {LARGEST_BYTES} are read")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def kind_of(path: Path, data: bytes) -> Kind:
    """By the ending of its name where that says it, else by its first bytes. Raises `InputError` for Keras archives."""
    suffix = path.suffix.lower()
    if suffix == _ARCHIVE:
        raise InputError(f"{path} is a Keras archive; save the model as .h5")
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if data.startswith(HDF5_MAGIC):
        return "keras"
    return "safetensors" if data[8:9] == b"{" else "pytorch"


def read_safetensors(data: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata, both by name.

    The library checks header and offsets before anything is read. Raises `InputError` where they are not right, and for
    a file that another framework wrote, whose axes differ.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state = load(data)
    except (SafetensorError, ValueError, KeyError, AttributeError, TypeError, RuntimeError) as error:
        raise InputError(f"{path} is not a safetensors file: {error}") from error
    (length,) = struct.unpack("<Q", data[:8])
    metadata = _metadata(json.loads(data[8 : 8 + length]).get("__metadata__") or {}, path)
    framework = metadata.get("format", _FRAMEWORK)
    if framework != _FRAMEWORK:
        raise InputError(f"{path} was written by {framework!r}; only weights of PyTorch are read from safetensors")
    return state, metadata


def _metadata(found: Mapping[str, str], path: Path) -> dict[str, str]:
    if len(found) > _METADATA_ENTRIES or any(len(key) + len(value) > _METADATA_LENGTH for key, value in found.items()):
        raise InputError(
            f"{path} has more metadata than belongs into a card: at most {_METADATA_ENTRIES} entries of "
            f"{_METADATA_LENGTH} characters"
        )
    return dict(sorted(found.items()))
