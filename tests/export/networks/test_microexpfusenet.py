"""MicroExpFuseNet against the numbers of its source, and its served form."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from export.networks.blocks import graph_of
from export.networks.microexpfusenet import NETWORKS, IntermediateFusion, LateFusion, MicroExpFuseNet
from export.networks.network import Network
from export.onnx import onnx_bytes

FORMS = (IntermediateFusion, LateFusion)


def _regions(samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    return 255 * torch.rand(samples, 18, 32, 32), 255 * torch.rand(samples, 18, 32, 32)


@pytest.mark.parametrize(
    ("form", "frames", "expected"),
    [
        (IntermediateFusion, 18, 6_694_915),
        (IntermediateFusion, 96, 177_088_515),
        (LateFusion, 18, 6_827_523),
        (LateFusion, 96, 177_221_123),
    ],
)
def test_published_sizes_have_the_published_parameters(form: type[MicroExpFuseNet], frames: int, expected: int) -> None:
    """Both variants of both data sets can be built."""
    with torch.device("meta"):
        network = form(frames=frames)
    assert sum(value.numel() for value in network.parameters()) == expected
    assert network.features == {18: 3_200, 96: 86_400}[frames]


def test_streams_can_change_places() -> None:
    """Eyes and mouth exchanged with their streams and their halves of the first dense layer give the same logits."""
    torch.manual_seed(0)
    network, swapped = IntermediateFusion().eval(), IntermediateFusion().eval()
    eyes, mouth = _regions(3)
    network.fit_scaling(eyes, mouth)
    state = {}
    for name, value in network.state_dict().items():
        other = {"eyes": "mouth", "mouth": "eyes"}.get(name.partition(".")[0])
        state[f"{other}.{name.partition('.')[2]}" if other else name] = value
    state["head.0.weight"] = state["head.0.weight"].roll(3_200, dims=1)
    swapped.load_state_dict(state)
    assert torch.allclose(swapped(mouth, eyes), network(eyes, mouth), atol=1e-4)
    assert not torch.allclose(swapped(eyes, mouth), network(eyes, mouth), atol=1e-2)


@pytest.mark.parametrize("form", FORMS)
def test_served_form_is_one_dense_layer(form: type[MicroExpFuseNet]) -> None:
    """Dense layers without activation are one linear map of 6400 numbers to 3: equal logits, fewer weights."""
    torch.manual_seed(0)
    network = form().eval()
    regions = _regions(4)
    network.fit_scaling(*regions)
    expected = network(*regions)
    served = network.for_serving()
    assert torch.allclose(served(*regions), expected, atol=1e-3)
    assert sum(value.numel() for value in served.parameters()) == 2 * 4_352 + 6_400 * 3 + 3
    assert served.for_serving() is served


@pytest.mark.parametrize("form", FORMS)
def test_each_region_has_its_own_scaling(form: type[MicroExpFuseNet]) -> None:
    """Mean and maximum are those of the region, and part of the state."""
    network = form()
    network.fit_scaling(torch.full((2, 18, 32, 32), 100.0), torch.full((2, 18, 32, 32), 50.0))
    state = network.state_dict()
    assert (state["eyes.mean"], state["mouth.mean"]) == (100, 50)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda each: each.name)
def test_export_gives_the_same_answers(network: Network) -> None:
    """The served form as an ONNX file with two inputs and any batch."""
    torch.manual_seed(0)
    built = network.build().eval()
    regions = [_regions(samples) for samples in (1, 5)]
    expected = [torch.softmax(built(*each), dim=1).detach().numpy() for each in regions]
    data = onnx_bytes(graph_of(built.for_serving(), "as_is"), network.inputs)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for (eyes, mouth), answer in zip(regions, expected, strict=True):
        (found,) = session.run(None, {"eyes": eyes.numpy(), "mouth": mouth.numpy()})
        np.testing.assert_allclose(found, answer, atol=1e-4)
