"""The ensemble with an action-unit head: parts that do not touch each other, and answers that are corrected."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from export.labels import LABELS
from export.networks.blocks import Answer, flow_graph
from export.networks.glimpse_flow import MEMBERS, GlimpseFlow
from export.networks.outputs import members_in, variations_of
from export.networks.ststnet import STSTNet
from export.synthesis.action_units import UNITS


@pytest.fixture
def network() -> GlimpseFlow:
    """Random weights, the same in every test."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return GlimpseFlow()


@pytest.fixture
def flow() -> Tensor:
    """float32 [4, 3, 28, 28], whole numbers 0..255."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (4, 3, 28, 28), generator=generator).float()


def test_a_classifier_is_as_large_as_ststnet(network: GlimpseFlow) -> None:
    """Each member has the parameters of STSTNet, whose three streams it holds as one."""
    members = [sum(p.numel() for p in member.parameters()) for member in network.classifiers]
    assert members == [sum(p.numel() for p in STSTNet(padding=2).parameters())] * MEMBERS


def test_each_part_learns_from_its_own_images(network: GlimpseFlow) -> None:
    """The loss of one member moves no other part."""
    network.train()
    outputs = network(torch.randn(MEMBERS + 1, 8, 3, 28, 28))
    assert outputs.logits.shape == (MEMBERS, 8, len(LABELS))
    assert outputs.units.shape == (1, 8, 2, len(UNITS))
    outputs.logits[2].sum().backward()
    touched = {name.split(".")[1] for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert touched == {"2"}


def test_members_take_turns(network: GlimpseFlow) -> None:
    """Every member learns in every second step, and who rests is not touched."""
    even, odd = members_in(network, 4), members_in(network, 5)
    assert sorted([*even, *odd]) == list(range(MEMBERS))
    outputs = network.train()(torch.randn(len(odd) + 1, 8, 3, 28, 28), odd)
    assert outputs.logits.shape[0] == len(odd)
    (outputs.logits.sum() + outputs.units.sum()).backward()
    touched = {int(name.split(".")[0]) for name, p in network.classifiers.named_parameters() if p.grad is not None}
    assert touched == set(odd)


def test_units_rest_where_they_are_not_known(network: GlimpseFlow) -> None:
    """Without ground truth of units the head is not asked, so that fine-tuning on classes leaves it as it was."""
    assert variations_of(network, 2, units_known=True) == (1.0, 1.0, network.unit_variation)
    assert variations_of(network, 2, units_known=False) == (1.0, 1.0)
    before = {name: value.clone() for name, value in network.units.state_dict().items()}
    assert network.train()(torch.randn(MEMBERS, 8, 3, 28, 28)).units is None
    assert all(torch.equal(value, before[name]) for name, value in network.units.state_dict().items())


def test_served_graph_answers_by_name(network: GlimpseFlow, flow: Tensor) -> None:
    """Probabilities sum to one; every unit has a score between 0 and 1 on either side."""
    answer = flow_graph(network, "nose_centred")(flow)
    assert isinstance(answer, Answer)
    torch.testing.assert_close(answer.probabilities.sum(1), torch.ones(4))
    assert answer.action_units.shape == (4, 2, len(UNITS))
    assert ((answer.action_units > 0) & (answer.action_units < 1)).all()


def test_mirrored_person_moves_the_other_side(network: GlimpseFlow, flow: Tensor) -> None:
    """A face and its mirror image have equal probabilities, and their units change sides."""
    graph = flow_graph(network, "nose_centred")
    mirrored = flow.flip(3).clone()
    mirrored[:, 0] = 255 - mirrored[:, 0]
    plain, turned = graph(flow), graph(mirrored)
    torch.testing.assert_close(plain.probabilities, turned.probabilities, rtol=0, atol=1e-5)
    torch.testing.assert_close(plain.action_units, turned.action_units.flip(1), rtol=0, atol=1e-5)


def test_temperature_softens_without_changing_the_answer(network: GlimpseFlow, flow: Tensor) -> None:
    """Above 1 the winner stays and is less sure: p^(1/T), brought back to sum 1."""
    graph = flow_graph(network, "nose_centred")
    before = graph(flow).probabilities
    network.temperature.fill_(2.0)
    expected = before.sqrt() / before.sqrt().sum(1, keepdim=True)
    torch.testing.assert_close(graph(flow).probabilities, expected)


def test_shift_moves_the_threshold_of_one_unit(network: GlimpseFlow, flow: Tensor) -> None:
    """What is added to a unit's log odds moves that unit alone, so that its threshold becomes .5."""
    graph = flow_graph(network, "nose_centred")
    before = graph(flow).action_units
    network.unit_shift[3] = 1.5
    after = graph(flow).action_units
    torch.testing.assert_close(after[..., 3], torch.sigmoid(torch.logit(before[..., 3]) + 1.5))
    others = [i for i in range(len(UNITS)) if i != 3]
    torch.testing.assert_close(after[..., others], before[..., others])
