"""Weights on disk: the published state dictionaries, and our own checkpoints, which say what they are.

PyTorch's files are read with `weights_only=True` alone: a pickle may hold code, and a checkpoint comes from anywhere.
Those of others are read by `export.weight_files` and `export.keras_file`.
"""

from __future__ import annotations

import hashlib
import io
import math
import pickle
import sys
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from export.labels import LABELS
from export.networks.blocks import Preparation
from export.networks.keras_weights import KerasOptions
from export.networks.network import Adopted, Network, Option, Weights
from export.networks.registry import find_network
from export.weight_files import kind_of, read_bounded, read_safetensors
from server.errors import InputError, OptionError

FORMAT = "glimpse.checkpoint/1"
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PARALLEL_PREFIX = "module."
_NAMES_SHOWN = 4
_OWN_KEYS = ("network", "source", "padding", "preparation", "training", "state")
_SOURCES = ("trained", "imported")
_MOST_OPTIONS, _LARGEST_OPTION = 8, 4096

NOT_STATED = "not stated by the checkpoint"
"""Of what somebody else's weights were trained on."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights with all that is needed to use them. `sha256` is that of the file; `training` says how they were made
    (JSON-able, empty for somebody else's). `prior_ratio` multiplies the probability of each class in the served graph
    (see `networks.prior_shift`); empty where they are served as they are. `companions` are the weights of networks that
    only its training needed, by name: they are no part of the file.
    """

    network: str
    source: Literal["trained", "imported"]
    weights: Weights
    state: Mapping[str, Tensor]
    training: Mapping[str, Any]
    sha256: str
    prior_ratio: tuple[float, ...] = ()
    companions: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """The network with these weights, in evaluation mode."""
        network = find_network(self.network).build(**self.weights.arguments())
        network.load_state_dict(self.state)
        return network.eval()


def load_checkpoint(path: Path, network: str, keras: KerasOptions | None = None) -> Checkpoint:
    """Weights for `network`: one of our checkpoints, or those of others: a state dictionary in a PyTorch file or in
    safetensors, under our names or those of the authors' code, or what Keras saved, with `keras` for what that cannot
    say.

    Raises `InputError`, naming the file, when it does not exist, is not a checkpoint, holds anything but data, belongs
    to another network, or has names, shapes or values that do not fit; `OptionError` for an unknown network.
    """
    architecture = find_network(network)
    data = read_bounded(path)
    digest = hashlib.sha256(data).hexdigest()
    kind = kind_of(path, data)
    if keras and kind != "keras":
        raise OptionError(f"--flatten and --scaling are for files of Keras, which {path} is not", option="scaling")
    metadata: Mapping[str, str] = {}
    if kind == "pytorch":
        content = unpickled(data, path)
        if content.get("format") == FORMAT:
            return _own(content, network, digest, path)
        adopted = _adopted(_bare_state(content, path), architecture)
    elif kind == "safetensors":
        state, metadata = read_safetensors(data, path)
        adopted = _adopted(_bare_state(state, path), architecture)
    else:
        adopted = _from_keras(data, architecture, keras or KerasOptions(), path)
    training: dict[str, Any] = {}
    if adopted.notes or metadata:
        training = {"data": NOT_STATED, "notes": list(adopted.notes), "metadata": dict(metadata)}
    state = checked_state(adopted.state, _built(architecture, adopted.weights, path), path)
    return Checkpoint(network, "imported", adopted.weights, state, training, digest)


def _own(content: Mapping[str, Any], network: str, digest: str, path: Path) -> Checkpoint:
    lacking = [key for key in _OWN_KEYS if key not in content]
    if lacking:
        raise InputError(f"{path} is not a whole checkpoint: it lacks {', '.join(lacking)}")
    if content["network"] != network:
        raise InputError(f"{path} holds weights of {content['network']!r}, not of {network!r}")
    preparation, padding, source = content["preparation"], content["padding"], content["source"]
    if preparation not in get_args(Preparation) or not isinstance(padding, int | None) or source not in _SOURCES:
        raise InputError(f"{path} says of its weights what cannot be: {preparation!r}, {padding!r}, {source!r}")
    options = _checked_options(content.get("options", {}), path)
    weights = Weights(preparation=preparation, padding=padding, options=options)
    if not isinstance(content["state"], Mapping) or not isinstance(content["training"], Mapping):
        raise InputError(f"{path} holds no weights, or no words on how they were made")
    state = checked_state(content["state"], _built(find_network(network), weights, path), path)
    ratio = _checked_ratio(content.get("prior_ratio", ()), path)
    return Checkpoint(network, source, weights, state, content["training"], digest, ratio)


def _adopted(state: Mapping[str, Tensor], architecture: Network) -> Adopted:
    adopted = architecture.adopt(state) if architecture.adopt else None
    return adopted or Adopted(state, architecture.theirs)


def _from_keras(data: bytes, architecture: Network, options: KerasOptions, path: Path) -> Adopted:
    if architecture.keras is None:
        raise InputError(f"{path} is a file of Keras, from which {architecture.name} is not read")
    from export.keras_file import read_keras

    weights = read_keras(data, path)
    try:
        return architecture.keras(weights, options)
    except OptionError:
        raise
    except InputError as error:
        raise InputError(f"{path} does not fit {architecture.name}: {error}") from error


def _built(architecture: Network, weights: Weights, path: Path) -> nn.Module:
    """The network, for its names and shapes; where a file says how to build it, without memory for what it says."""
    if not weights.options:
        return architecture.build(**weights.arguments())
    try:
        with torch.device("meta"):
            return architecture.build(**weights.arguments())
    except (TypeError, ValueError, RuntimeError, IndexError, ZeroDivisionError) as error:
        raise InputError(f"{path} says how to build {architecture.name}, but that cannot be built: {error}") from error


def _checked_options(options: Any, path: Path) -> tuple[tuple[str, Option], ...]:
    valid = isinstance(options, Mapping) and len(options) <= _MOST_OPTIONS
    found = []
    for name, value in options.items() if valid else ():
        several = tuple(value) if isinstance(value, list | tuple) else (value,)
        small = len(several) <= _MOST_OPTIONS and all(
            (isinstance(each, int) and 0 < each <= _LARGEST_OPTION)
            or (isinstance(each, str) and several == (value,) and len(each) <= _LARGEST_OPTION)
            for each in several
        )
        valid &= isinstance(name, str) and small
        found.append((name, several if isinstance(value, list | tuple) else value))
    if not valid:
        raise InputError(f"{path}: its options are not a few names with small numbers or words")
    return tuple(sorted(found))


def checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    """A file that `load_checkpoint` reads. The same weights give the same bytes, those that were loaded too."""
    content: dict[str, Any] = {
        "format": FORMAT,
        "network": checkpoint.network,
        "source": checkpoint.source,
        "padding": checkpoint.weights.padding,
        "preparation": checkpoint.weights.preparation,
        "training": dict(checkpoint.training),
        "state": plain_state(checkpoint.state),
    }
    if checkpoint.weights.options:
        content["options"] = {
            name: list(value) if isinstance(value, tuple) else value for name, value in checkpoint.weights.options
        }
    if checkpoint.prior_ratio:
        content["prior_ratio"] = list(checkpoint.prior_ratio)
    return file_bytes(content)


def plain_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of `state` that share no storage and lie in main memory."""
    return {name: tensor.detach().clone().cpu() for name, tensor in state.items()}


def file_bytes(content: Mapping[str, Any]) -> bytes:
    """A file that `unpickled` reads; equal content gives equal bytes."""
    # A file object has no name that could end up in the archive.
    buffer = io.BytesIO()
    torch.save(_canonical(content), buffer)
    return buffer.getvalue()


def _canonical(value: Any) -> Any:
    """`value` with one object for all equal strings and another for each container.

    Pickle refers back to an object that it has written, so its bytes depend on which equal strings are the same one.
    """
    if isinstance(value, str):
        return sys.intern(str(value))
    if isinstance(value, Mapping):
        return {_canonical(key): _canonical(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_canonical(each) for each in value)
    return value


def unpickled(data: bytes, path: Path) -> Mapping[str, Any]:
    """The mapping that `data` of the file `path` holds, without running code. Raises `InputError`, naming the file."""
    try:
        with warnings.catch_warnings():
            # An unusual pickle protocol is refused or read like any other; the warning would only add noise.
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = "it refers to code; only tensors, numbers and text are accepted"
        raise InputError(f"{path} was refused: {reason}") from error
    except (RuntimeError, EOFError, KeyError, ValueError, IndexError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a PyTorch checkpoint") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds a {type(content).__name__}, not a state dictionary")
    return content


def _bare_state(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    state = {str(name).removeprefix(_PARALLEL_PREFIX): value for name, value in content.items()}
    for name, value in state.items():
        _check_plain(name, value, path)
    return state


def _check_plain(name: str, value: Any, path: Path) -> None:
    if not isinstance(value, Tensor):
        raise InputError(f"{path}: {name} is a {type(value).__name__}, not a tensor")
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        raise InputError(f"{path}: {name} is not a plain tensor")


def checked_state(state: Mapping[str, Any], network: nn.Module, path: Path) -> dict[str, Tensor]:
    """`state` of the file `path` in the types of `network`. Raises `InputError` where names or shapes differ."""
    expected = network.state_dict()
    missing, surplus = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or surplus:
        parts = [f"{kind} {_short(names)}" for kind, names in (("lacks", missing), ("has unknown", surplus)) if names]
        raise InputError(f"{path} does not fit {type(network).__name__}: it {' and '.join(parts)}")
    for name, wanted in expected.items():
        value = state[name]
        _check_plain(name, value, path)
        if value.shape != wanted.shape:
            raise InputError(f"{path}: {name} has shape {list(value.shape)}, not {list(wanted.shape)}")
        if value.is_floating_point() != wanted.is_floating_point() or value.is_complex():
            raise InputError(f"{path}: {name} holds {value.dtype}, not {wanted.dtype}")
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"{path}: {name} holds values that are not finite")
    return {name: state[name].to(wanted.dtype) for name, wanted in expected.items()}


def _checked_ratio(ratio: Any, path: Path) -> tuple[float, ...]:
    numbers = isinstance(ratio, list | tuple) and all(isinstance(each, float) and 0 < each < math.inf for each in ratio)
    if not numbers or len(ratio) not in (0, len(LABELS)):
        raise InputError(f"{path}: prior_ratio is not one positive number for each of {', '.join(LABELS)}")
    return tuple(ratio)


def _short(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"
