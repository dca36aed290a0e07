"""The served graph: normalisation, mirrored mean, channel order, softmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.networks.blocks import FlowGraph, InIod, NoseCentred, PublishedOrder, flow_graph, input_preparation
from export.networks.ststnet import STSTNet


@pytest.fixture
def flow() -> Tensor:
    """float32 [5, 3, 28, 28], whole numbers 0..255."""
    return torch.from_numpy(np.random.default_rng(3).integers(0, 256, (5, 3, 28, 28)).astype(np.float32))


def test_normalisation_is_that_of_the_recipe(flow: Tensor) -> None:
    """Both u and v lose their nose median and are divided by rms + 8; strain becomes x / 60 - 0.4."""
    images = flow.numpy()
    expected = np.empty_like(images)
    for sample in range(len(images)):
        for channel in (0, 1):
            plane = images[sample, channel] - np.median(images[sample, channel, 8:17, 11:17])
            expected[sample, channel] = plane / (np.sqrt((plane**2).mean()) + 8)
    expected[:, 2] = images[:, 2] / 60 - 0.4
    np.testing.assert_allclose(NoseCentred()(flow).numpy(), expected, rtol=1e-5, atol=1e-5)


def test_flat_image_stays_finite() -> None:
    """An image without motion has no spread to divide by and still gives numbers."""
    assert torch.isfinite(NoseCentred()(torch.zeros(1, 3, 28, 28))).all()


def test_magnitude_is_kept_on_a_logarithmic_scale() -> None:
    """U and v lose their nose median; motion is asinh of .8 %, strain of 4 %, and what does not move is 0."""
    images = np.random.default_rng(4).normal(0, 3, (5, 3, 28, 28)).astype(np.float32)
    images[:, 2] = abs(images[:, 2])
    expected = images.copy()
    for channel in (0, 1):
        expected[:, channel] -= np.median(images[:, channel, 8:17, 11:17], axis=(1, 2))[:, None, None]
    expected = np.arcsinh(expected / np.array([0.8, 0.8, 4.0], np.float32)[:, None, None])
    np.testing.assert_allclose(InIod()(torch.from_numpy(images)).numpy(), expected, rtol=1e-4, atol=1e-5)
    assert not InIod()(torch.tensor([3.0, -2.0, 0.0])[None, :, None, None].expand(1, 3, 28, 28)).any()


def test_mirrored_motion_gets_the_same_answer() -> None:
    """Motion in percent is mirrored by turning the picture and the sign of u."""
    motion = torch.randn(4, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    graph = flow_graph(STSTNet(padding=2), "in_iod")
    mirrored = motion.flip(3) * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    torch.testing.assert_close(graph(motion), graph(mirrored), rtol=0, atol=1e-5)
    assert not torch.allclose(graph(motion), graph(2 * motion), atol=1e-3)


def test_training_and_serving_prepare_alike(flow: Tensor) -> None:
    """The module by name is the one inside the graph."""
    for preparation in ("nose_centred", "in_iod", "published_order"):
        inside = flow_graph(STSTNet(padding=2), preparation).prepare
        torch.testing.assert_close(input_preparation(preparation)(flow), inside(flow))


def test_published_order_is_strain_v_u(flow: Tensor) -> None:
    """Imported weights get strain, v, u as they are stored."""
    np.testing.assert_array_equal(PublishedOrder()(flow), flow[:, [2, 1, 0]])


def test_mirrored_person_gets_the_same_answer(flow: Tensor) -> None:
    """A face and its mirror image, whose stretched u is 255 - u, have equal probabilities."""
    graph = flow_graph(STSTNet(padding=2), "nose_centred")
    mirrored = flow.flip(3).clone()
    mirrored[:, 0] = 255 - mirrored[:, 0]
    torch.testing.assert_close(graph(flow), graph(mirrored), rtol=0, atol=1e-5)


def test_mirrored_mean_is_of_probabilities_by_sample(flow: Tensor) -> None:
    """Sample i is averaged with its own mirror image, not with a neighbour's."""
    network = STSTNet(padding=2).eval()
    images = NoseCentred()(flow)
    twin = images.flip(3) * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    expected = (network(images).softmax(1) + network(twin).softmax(1)) / 2
    torch.testing.assert_close(flow_graph(network, "nose_centred")(flow), expected)


def test_imported_weights_are_not_mirrored(flow: Tensor) -> None:
    """The published network answers once, with softmax over its logits of the raw image."""
    network = STSTNet(padding=2).eval()
    expected = network(flow[:, [2, 1, 0]]).softmax(1)
    torch.testing.assert_close(flow_graph(network, "published_order")(flow), expected)


def test_probabilities_sum_to_one(flow: Tensor) -> None:
    """Every row is a distribution."""
    total = FlowGraph(STSTNet().eval(), nn.Identity(), mirrored=True)(flow / 255).sum(1)
    torch.testing.assert_close(total, torch.ones(5))


def test_graph_is_in_evaluation_mode() -> None:
    """Dropout is off, whatever mode the network was in."""
    network = STSTNet().train()
    assert not flow_graph(network, "nose_centred").network.training
