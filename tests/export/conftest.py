"""A checkpoint, a repository that holds it, and the real samples where they are present."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from export.build import publish_checkpoint
from export.checkpoint import Checkpoint
from export.networks.network import Weights
from export.networks.outputs import Outputs
from export.networks.registry import NETWORKS
from export.synthesis.action_units import UNITS

Once = Callable[[str, Callable[[Path], None]], Path]


def make_magnitude_checkpoint() -> Checkpoint:
    """Random weights of the network whose recipe keeps the magnitude of the motion."""
    network = NETWORKS["glimpse_flow_iod"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        state = network.build(**network.trained.arguments()).state_dict()
    return Checkpoint(network.name, "trained", network.trained, state, {"data": "noise"}, sha256="e" * 64)


def make_checkpoint(seed: int = 0, source: str = "trained") -> Checkpoint:
    """STSTNet with random weights and batch statistics that are not those of a fresh network."""
    network = NETWORKS["ststnet"]
    weights: Weights = network.trained if source == "trained" else network.theirs
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network.build(**weights.arguments())
        model(torch.randn(64, 3, 28, 28))
    training = {"data": "noise", "data_sha256": "0" * 64, "command": "a test"} if source == "trained" else {}
    return Checkpoint("ststnet", source, weights, model.state_dict(), training, sha256="f" * 64)


@pytest.fixture(scope="session", autouse=True)
def _operators(operators: None) -> None:
    """Graphs are exported in most of these files."""


class TinyEnsemble(nn.Module):
    """Two independent networks with an action-unit head, and `seen`, what was put in last."""

    members = 2

    def __init__(self, *, padding: int) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(3, 8, 5, stride=2, padding=padding),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(4),
                nn.Flatten(),
                nn.Linear(128, 3 + 2 * len(UNITS)),
            )
            for _ in range(self.members)
        )
        self.seen = torch.zeros(0)

    def forward(self, images: Tensor) -> Outputs:
        """`Outputs`, in training of [members, N, 3, 28, 28], one's own images for each member."""
        self.seen = images
        inputs = images if self.training else [images] * self.members
        answers = torch.stack([net(part) for net, part in zip(self.nets, inputs, strict=True)])
        return Outputs(answers[..., :3], answers[..., 3:].unflatten(2, (2, len(UNITS))))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which `TinyEnsemble` is a registered network."""
    weights = Weights(padding=2, preparation="nose_centred")
    network = replace(NETWORKS["ststnet"], name="tiny", build=TinyEnsemble, trained=weights)
    monkeypatch.setitem(NETWORKS, "tiny", network)
    return "tiny"


@pytest.fixture
def few_held_out(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many synthetic samples are held out: enough to tell learning from guessing."""
    monkeypatch.setattr("export.training_data.VALIDATION_SAMPLES", 300)
    return 300


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    """Weights as training makes them."""
    return make_checkpoint()


@pytest.fixture(scope="session")
def imported_checkpoint() -> Checkpoint:
    """Weights as somebody else published them."""
    return make_checkpoint(seed=1, source="imported")


@pytest.fixture(scope="session")
def repository(checkpoint: Checkpoint, imported_checkpoint: Checkpoint, once: Once) -> Path:
    """Holds `ours` and `theirs`. For reading only."""

    def make(folder: Path) -> None:
        publish_checkpoint(checkpoint, folder, name="ours", command="glimpse-export model")
        publish_checkpoint(imported_checkpoint, folder, name="theirs", command="glimpse-export import")

    return once("model_repository", make)


@pytest.fixture(scope="session")
def magnitude_checkpoint() -> Checkpoint:
    """Weights for flow that is not stretched."""
    return make_magnitude_checkpoint()


@pytest.fixture(scope="session")
def magnitude_repository(magnitude_checkpoint: Checkpoint, once: Once) -> Path:
    """Holds `strength`, whose recipe keeps the magnitude. For reading only."""

    def make(folder: Path) -> None:
        publish_checkpoint(magnitude_checkpoint, folder, name="strength", command="glimpse-export model")

    return once("magnitude_repository", make)


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Path:
    """The folder of real samples and published weights; skips where it is absent."""
    folder = pytestconfig.rootpath.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real samples are not here: they lie in shared/data beside the checkout")
    return folder
