"""Files of networks that were trained beside one that is served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from export.checkpoint import checkpoint_bytes
from export.companions import companion_bytes, load_companion
from server.errors import InputError
from tests.export.conftest import make_checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of a dense layer that was trained beside STSTNet."""
    companions = {"other": {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}}
    path = tmp_path / "other.pth"
    path.write_bytes(companion_bytes(replace(make_checkpoint(), companions=companions), "other"))
    return path


def test_a_companion_is_read_back(path: Path) -> None:
    """It has its weights, is in evaluation mode, and tells how it was trained."""
    model = nn.Linear(3, 2)
    assert load_companion(path, "ststnet", "other", model)["command"] == "a test"
    assert torch.equal(model.weight, torch.ones(2, 3))
    assert not model.training


@pytest.mark.parametrize(("network", "name"), [("ststnet", "another"), ("icegan", "other")])
def test_what_belongs_to_something_else_is_refused(path: Path, network: str, name: str) -> None:
    """Another companion, and that of another network."""
    with pytest.raises(InputError, match=f"does not hold the {name} that was trained beside {network}"):
        load_companion(path, network, name, nn.Linear(3, 2))


def test_what_does_not_fit_is_refused(path: Path, tmp_path: Path) -> None:
    """Other shapes, a served network's weights, and no file at all."""
    with pytest.raises(InputError, match="weight has shape"):
        load_companion(path, "ststnet", "other", nn.Linear(4, 2))
    path.write_bytes(checkpoint_bytes(make_checkpoint()))
    with pytest.raises(InputError, match="does not hold the other"):
        load_companion(path, "ststnet", "other", nn.Linear(3, 2))
    with pytest.raises(InputError, match="cannot be read"):
        load_companion(tmp_path / "none", "ststnet", "other", nn.Linear(3, 2))
