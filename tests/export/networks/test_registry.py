"""Networks by name."""

from __future__ import annotations

import pytest
import torch

from export.labels import LABELS
from export.networks.network import Network
from export.networks.outputs import as_outputs
from export.networks.registry import NETWORKS, find_network
from server.errors import OptionError
from server.recipes.registry import RECIPES


def test_unknown_network_is_named_with_those_that_exist() -> None:
    """The message says what was asked for and what there is."""
    with pytest.raises(OptionError, match=r"no network 'resnet'; there are: .*ststnet"):
        find_network("resnet")


def _zeros(network: Network) -> list[torch.Tensor]:
    return [torch.zeros(2, *spec.dims) for spec in network.inputs]


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_eats_its_declared_input(name: str) -> None:
    """The registered input gives one logit per label, and the units that are promised."""
    network = find_network(name)
    for weights in (network.trained, network.theirs):
        outputs = as_outputs(network.build(**weights.arguments()).eval()(*_zeros(network)))
        assert outputs.logits.shape[1:] == (2, len(LABELS))
        units = () if outputs.units is None else outputs.units.shape[1:]
        assert units == ((2, 2, len(network.units)) if network.units else ())


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_takes_a_recipe_of_the_service(name: str) -> None:
    """What a network eats is what the gateway makes."""
    network = find_network(name)
    assert {spec.name: spec.dims for spec in network.inputs} == dict(RECIPES[network.recipe].dims)


def test_inputs_tell_their_unit() -> None:
    """Tensors of the same shape differ in scale, and the contract says in which."""
    assert "stretched to 0..255" in find_network("glimpse_flow").inputs[0].meaning
    meaning = find_network("glimpse_flow_iod").inputs[0].meaning
    assert "percent of the inter-ocular distance" in meaning
    assert "-30 to 30" in meaning


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_is_cited(name: str) -> None:
    """A name that is registered says where it comes from."""
    assert "20" in find_network(name).citation
