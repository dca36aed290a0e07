"""An unfinished training on disk: all that is needed to go on as if it had never stopped, and the log of its epochs."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.repository import replace_file
from server.errors import InputError

FORMAT = "glimpse.training/1"
STATE_FILE = "state.pth"
LOG_FILE = "log.jsonl"


@dataclass(frozen=True, slots=True)
class TrainingState:
    """After `epoch`: what PyTorch needs to go on, and a record of each epoch so far.

    `identity` (JSON-able) says which run it is: network, plan and hashes of everything that was put in. `generators`
    holds the state of the random generators by device; `devices` names those that computed.
    """

    identity: Mapping[str, Any]
    epoch: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    schedule: Mapping[str, Any]
    generators: Mapping[str, Tensor]
    devices: Sequence[str]
    history: Sequence[Mapping[str, Any]]


def write_state(folder: Path, state: TrainingState) -> None:
    """Write `state` and its log into `folder`, each at once: a reader sees the epoch before or this one."""
    content = {"format": FORMAT} | {name: getattr(state, name) for name in TrainingState.__slots__}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    replace_file(folder / STATE_FILE, buffer.getvalue())
    write_log(folder, state.history)


def write_log(folder: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """One JSON object a line for each epoch."""
    replace_file(folder / LOG_FILE, "".join(json.dumps(record) + "\n" for record in history).encode())


def read_state(folder: Path, identity: Mapping[str, Any]) -> TrainingState | None:
    """The state in `folder`; None where there is none.

    Raises `InputError` where the file is not such a state, or is one of another run, saying what differs.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as the state of a training: {error}") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise InputError(f"{path} is not the state of a training")
    state = TrainingState(**content)
    different = [
        f"{name} is {state.identity.get(name)!r} there and {wanted!r} here"
        for name, wanted in identity.items()
        if state.identity.get(name) != wanted
    ]
    if different:
        raise InputError(f"{path} belongs to another training: {'; '.join(different)}")
    return state


def identity_of(plan: Any, **inputs: Any) -> dict[str, Any]:
    """The identity of a run from its plan (a dataclass) and everything else that was put in."""
    return {**asdict(plan), **inputs}
