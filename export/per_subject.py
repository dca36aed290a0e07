"""Weights that were trained once per left-out subject, each of which may answer only for its own subject."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from export.checkpoint import Checkpoint, load_checkpoint
from server.errors import InputError


def load_per_subject(folder: Path, network: str, subjects: Sequence[str]) -> dict[str, Checkpoint]:
    """`folder`/<subject>.pth for every distinct subject.

    Raises `InputError` naming the subjects without a file, and as `load_checkpoint` does.
    """
    wanted = sorted(set(subjects))
    missing = [subject for subject in wanted if not (folder / f"{subject}.pth").is_file()]
    if missing:
        raise InputError(f"{folder} has no weights for the subjects {', '.join(missing)}")
    return {subject: load_checkpoint(folder / f"{subject}.pth", network) for subject in wanted}


def model_names(network: str, subjects: Sequence[str]) -> dict[str, str]:
    """A model name for each distinct subject, such as ststnet_sub01.

    Raises `InputError` when two subjects would get one name.
    """
    names = {
        subject: f"{network}_{re.sub(r'[^a-z0-9_.-]', '_', subject.lower())}"[:64] for subject in sorted(set(subjects))
    }
    if len(set(names.values())) < len(names):
        raise InputError("two subjects differ only in signs that model names cannot have")
    return names
