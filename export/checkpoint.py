"""Weights on disk: the published state dictionaries, and our own checkpoints, which say what they are.

Files are read with `weights_only=True` alone: a pickle may hold code, and a checkpoint comes from anywhere.
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
from typing import Any, Literal

import torch
from torch import Tensor, nn

from export.labels import LABELS
from export.networks.network import Weights
from export.networks.registry import find_network
from server.errors import InputError

FORMAT = "glimpse.checkpoint/1"
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PARALLEL_PREFIX = "module."
_NAMES_SHOWN = 4


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


def load_checkpoint(path: Path, network: str) -> Checkpoint:
    """Weights for `network`: one of our checkpoints, or a state dictionary as its authors published it.

    Raises `InputError`, naming the file, when it does not exist, is not a checkpoint, holds anything but data, belongs
    to another network, or has names, shapes or values that do not fit; `OptionError` for an unknown network.
    """
    architecture = find_network(network)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    content = unpickled(data, path)
    ours = content.get("format") == FORMAT
    if ours:
        if content["network"] != network:
            raise InputError(f"{path} holds weights of {content['network']!r}, not of {network!r}")
        weights = Weights(padding=content["padding"], preparation=content["preparation"])
        state = content["state"]
    else:
        weights = architecture.published
        state = _bare_state(content)
    checked = checked_state(state, architecture.build(**weights.arguments()), path)
    return Checkpoint(
        network=network,
        source=content["source"] if ours else "imported",
        weights=weights,
        state=checked,
        training=content["training"] if ours else {},
        sha256=hashlib.sha256(data).hexdigest(),
        prior_ratio=_checked_ratio(content.get("prior_ratio", ()), path) if ours else (),
    )


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


def _bare_state(content: Mapping[str, Any]) -> Mapping[str, Any]:
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    return {str(name).removeprefix(_PARALLEL_PREFIX): value for name, value in content.items()}


def checked_state(state: Mapping[str, Any], network: nn.Module, path: Path) -> dict[str, Tensor]:
    """`state` of the file `path` in the types of `network`. Raises `InputError` where names or shapes differ."""
    expected = network.state_dict()
    missing, surplus = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or surplus:
        parts = [f"{kind} {_short(names)}" for kind, names in (("lacks", missing), ("has unknown", surplus)) if names]
        raise InputError(f"{path} does not fit {type(network).__name__}: it {' and '.join(parts)}")
    for name, wanted in expected.items():
        value = state[name]
        if not isinstance(value, Tensor):
            raise InputError(f"{path}: {name} is a {type(value).__name__}, not a tensor")
        if value.shape != wanted.shape:
            raise InputError(f"{path}: {name} has shape {list(value.shape)}, not {list(wanted.shape)}")
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
