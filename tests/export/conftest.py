"""A checkpoint, a repository that holds it, and the real samples where they are present."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from export.build import publish_checkpoint
from export.checkpoint import Checkpoint
from export.networks.registry import NETWORKS, Weights


def make_checkpoint(seed: int = 0, source: str = "trained") -> Checkpoint:
    """STSTNet with random weights and batch statistics that are not those of a fresh network."""
    network = NETWORKS["ststnet"]
    weights: Weights = network.trained if source == "trained" else network.published
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network.build(padding=weights.padding)
        model(torch.randn(64, 3, 28, 28))
    training = {"data": "noise", "data_sha256": "0" * 64, "command": "a test"} if source == "trained" else {}
    return Checkpoint("ststnet", source, weights, model.state_dict(), training, sha256="f" * 64)


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    """Weights as training makes them."""
    return make_checkpoint()


@pytest.fixture(scope="session")
def imported_checkpoint() -> Checkpoint:
    """Weights as somebody else published them."""
    return make_checkpoint(seed=1, source="imported")


@pytest.fixture(scope="session")
def repository(
    checkpoint: Checkpoint, imported_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Holds `ours` and `theirs`. For reading only."""
    folder = tmp_path_factory.mktemp("model_repository")
    publish_checkpoint(checkpoint, folder, name="ours", command="glimpse-export model")
    publish_checkpoint(imported_checkpoint, folder, name="theirs", command="glimpse-export import")
    return folder


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Path:
    """The folder of real samples and published weights; skips where it is absent."""
    folder = pytestconfig.rootpath.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real samples are not here: they lie in shared/data beside the checkout")
    return folder
