"""Weights of networks that were trained beside one that is served: files that say what they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from export.checkpoint import Checkpoint, checked_state, file_bytes, plain_state, unpickled
from server.errors import InputError

FORMAT = "glimpse.companion/1"


def companion_bytes(checkpoint: Checkpoint, name: str) -> bytes:
    """A file that `load_companion` reads: the companion `name` of `checkpoint`."""
    return file_bytes(
        {
            "format": FORMAT,
            "network": checkpoint.network,
            "name": name,
            "weights_sha256": checkpoint.sha256,
            "training": dict(checkpoint.training),
            "state": plain_state(checkpoint.companions[name]),
        }
    )


def load_companion(path: Path, network: str, name: str, model: nn.Module) -> Mapping[str, Any]:
    """Load the companion `name` of `network` into `model`, in evaluation mode after it. Returns how it was trained.

    Raises `InputError`, naming the file, when it does not exist, is no such companion, or does not fit.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    content = unpickled(data, path)
    if content.get("format") != FORMAT or (content.get("network"), content.get("name")) != (network, name):
        raise InputError(f"{path} does not hold the {name} that was trained beside {network}")
    model.load_state_dict(checked_state(content["state"], model, path))
    model.eval()
    training: Mapping[str, Any] = content["training"]
    return training
