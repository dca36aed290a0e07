"""Feature Refinement: sizes of our reading, and detectors that learn their own class."""

from __future__ import annotations

import pytest
import torch

from export.losses import Loss
from export.networks.blocks import NoseCentred
from export.networks.featref import FeatureRefinement
from export.synthesis.flow_fields import synthesize_flow
from export.training import train
from export.training_data import synthetic_data
from export.training_plan import TrainingPlan


def test_parameters_are_those_of_the_reading() -> None:
    """Three proposals, and five."""
    for classes, expected in ((3, 2_446_721), (5, 4_063_655)):
        network = FeatureRefinement(classes=classes)
        assert sum(value.numel() for value in network.parameters()) == expected


@pytest.mark.usefixtures("few_held_out")
def test_each_branch_becomes_a_detector_of_its_own_class() -> None:
    """After a short training the proposal of a class is higher on its samples than on the others."""
    plan = TrainingPlan(epochs=2, batch_size=32, learning_rate=1e-3)
    network = train("featref", synthetic_data(512, seed=0), plan, command="c").build()
    samples = synthesize_flow(300, seed=5)
    graph_input = torch.from_numpy(samples.images).float()
    proposals = network(NoseCentred()(graph_input)).proposals
    assert proposals is not None
    for label in range(3):
        own = torch.from_numpy(samples.labels == label)
        assert proposals[0, own, label].mean() > proposals[0, ~own, label].mean() + 0.5


def test_proposals_have_a_loss() -> None:
    """Without it the branches would be free; a confident wrong detector costs more than a right one."""
    network = FeatureRefinement().eval()
    outputs = network(torch.randn(4, 3, 28, 28))
    labels = torch.tensor([0, 1, 2, 0])
    loss = Loss(None, 0.0, 1.0)
    right = outputs._replace(proposals=10 * (2 * torch.nn.functional.one_hot(labels, 3).float() - 1)[None])
    assert loss(right, labels, None) < loss(right._replace(proposals=-right.proposals), labels, None)
    assert loss(outputs._replace(proposals=None), labels, None) < loss(outputs, labels, None)
