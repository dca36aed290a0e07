"""Weights per left-out subject."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.checkpoint import Checkpoint, checkpoint_bytes
from export.per_subject import load_per_subject, model_names
from server.errors import InputError


def test_one_checkpoint_per_subject(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """Each distinct subject gets its own file; others in the folder are not opened."""
    for subject in ("s01", "s02"):
        (tmp_path / f"{subject}.pth").write_bytes(checkpoint_bytes(checkpoint))
    (tmp_path / "s03.pth").write_bytes(b"not opened")
    assert sorted(load_per_subject(tmp_path, "ststnet", ["s02", "s01", "s02"])) == ["s01", "s02"]


def test_missing_subjects_are_all_named(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """The message lists everyone without weights, before anything is computed."""
    (tmp_path / "s01.pth").write_bytes(checkpoint_bytes(checkpoint))
    with pytest.raises(InputError, match="no weights for the subjects s02, s03"):
        load_per_subject(tmp_path, "ststnet", ["s03", "s01", "s02"])


def test_names_are_those_of_models() -> None:
    """Subjects become names that the repository accepts."""
    assert model_names("ststnet", ["sub01", "S 2"]) == {"sub01": "ststnet_sub01", "S 2": "ststnet_s_2"}


def test_names_that_collide_are_refused() -> None:
    """Two subjects never share a model."""
    with pytest.raises(InputError, match="two subjects"):
        model_names("ststnet", ["s 1", "s_1"])
