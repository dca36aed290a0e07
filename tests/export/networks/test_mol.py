"""MOL against the numbers of its source, and its vectorised parts against literal ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from export.mol_losses import joint_loss
from export.networks.blocks import graph_of
from export.networks.mol import MOL, NETWORKS, Recognition, scaled
from export.networks.mol_features import (
    ChannelGraph,
    CircularConvolution,
    DeclaredCircularConvolution,
    PositionGraph,
)
from export.networks.mol_flow import Correlation
from export.networks.network import Network
from export.onnx import onnx_bytes


def _count(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def _video(samples: int, seed: int = 0) -> torch.Tensor:
    return 255 * torch.rand(samples, 1, 8, 128, 128, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("classes", "expected", "head"), [(3, 44_104_865, 738_339), (5, 44_105_379, 738_853)])
def test_what_the_code_declares_has_the_published_parameters(classes: int, expected: int, head: int) -> None:
    """The whole network and each of its parts as in the authors' code."""
    with torch.device("meta"):
        network = MOL(classes=classes, ccc="code")
    features = network.recognition.features
    assert _count(network) == expected
    assert _count(features.stem) == 19_048
    for block in (features.first, features.second):
        assert [_count(part) for part in block] == [17_794, 131_584]
    assert _count(network.flow) == 39_730_282
    assert _count(network.landmarks) == 3_318_440
    assert _count(network.recognition.head) == head
    assert _count(network.recognition) == expected - 39_730_282 - 3_318_440


def test_path_to_the_class_has_the_published_parameters() -> None:
    """1,056,143 for three classes; 1,070,987 without what is never used and with the paper's convolution."""
    with torch.device("meta"):
        assert _count(Recognition(3, 0.5, "code")) == 1_056_143
        assert _count(MOL().recognition) == 1_070_987


def test_twin_is_small_enough_to_ship() -> None:
    """1,290,757 parameters in all, less than 3 MB as halves, of which 317,771 are served; all modules are the same."""
    full, small = NETWORKS
    with torch.device("meta"):
        network, twin = full.build(), small.build()
    assert _count(network) == 44_119_709
    assert _count(twin) == 1_290_757
    assert _count(twin.recognition) == 317_771
    assert list(twin.state_dict()) == list(network.state_dict())
    assert (small.recipe, small.trainer, small.extras) == (full.recipe, full.trainer, full.extras)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_flow_of_one_pair_is_that_of_all(network: Network) -> None:
    """Asked for two pairs of each clip, in any order, the flow head says of them what it says among all seven."""
    torch.manual_seed(6)
    model = network.build().eval()
    pairs = torch.tensor([[0, 6], [5, 2]])
    with torch.inference_mode():
        every, some = model.joint(_video(2)), model.joint(_video(2), pairs)
    expected = torch.stack([every.flow[row][..., chosen] for row, chosen in enumerate(pairs)])
    assert every.flow.abs().max() > 0
    torch.testing.assert_close(some.flow, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(some.landmarks, every.landmarks)


@pytest.mark.parametrize("classes", [3, 5])
def test_three_heads_have_the_published_shapes(classes: int) -> None:
    """Logits, flow of seven pairs at full resolution, and 68 landmarks of seven frames."""
    network = MOL(classes=classes, ccc="code").eval()
    with torch.inference_mode():
        answer = network.joint(_video(2))
        assert [tuple(part.shape) for part in answer] == [(2, classes), (2, 2, 128, 128, 7), (2, 136, 7)]
        torch.testing.assert_close(network(_video(2)), answer.logits)


def test_each_head_teaches_the_features_they_share() -> None:
    """The joint loss reaches every weight of the network."""
    network = MOL(dropout=0.0)
    landmarks = 128 * torch.rand(2, 136, 8)
    loss = joint_loss(network.joint(_video(2)), torch.tensor([0, 1]), torch.randn(2, 2, 128, 128, 7), landmarks).total
    loss.backward()
    assert torch.isfinite(loss)
    assert [name for name, value in network.named_parameters() if value.grad is None] == []
    for weight in (
        network.flow.conv1[0].weight,
        network.landmarks[0].weight,
        network.recognition.features.stem[0].weight,
    ):
        assert weight.grad is not None
        assert weight.grad.abs().max() > 0


def _literal_circle(maps: torch.Tensor, conv: nn.Conv2d, axis: int) -> torch.Tensor:
    kernel = conv.weight[:, 0].flatten(1)[:, :16]
    total = conv.bias[None, :, None, None].expand_as(maps)
    for tap in range(16):
        total = total + kernel[:, tap, None, None] * maps.roll(-tap, dims=axis)
    return total


@pytest.mark.parametrize("build", [CircularConvolution, DeclaredCircularConvolution])
def test_convolution_goes_around_whole_rows_and_columns(build: type[CircularConvolution]) -> None:
    """Equal to sums of rolled maps: one half down and then across, the other half across and then down."""
    torch.manual_seed(0)
    block = build().eval()
    maps = torch.randn(2, 128, 16, 16)
    down, across = ([each[:, :16, :16] for each in part] for part in (block.down, block.across))
    first, second = maps.split(64, dim=1)
    first = _literal_circle(block.norms[0](first + down[0]), block.columns[0], 2) + across[1]
    second = _literal_circle(block.norms[1](second + across[0]), block.rows[0], 3) + down[1]
    first, second = _literal_circle(first, block.rows[1], 3), _literal_circle(second, block.columns[1], 2)
    torch.testing.assert_close(block(maps), maps + torch.cat([first, second], dim=1), atol=1e-4, rtol=0)


def test_channels_look_at_their_four_nearest_channels() -> None:
    """As the paper tells it, node by node: another channel each, the largest edge, a convolution, and what came in."""
    torch.manual_seed(1)
    graph = ChannelGraph().eval()
    maps = torch.randn(1, 128, 16, 16)
    nodes = maps.reshape(128, 256)
    likeness = torch.cosine_similarity(nodes[:, None], nodes[None], dim=2)
    edges = []
    for i in range(128):
        order = [j for j in likeness[i].argsort(descending=True).tolist() if j != i][:4]
        edges.append(
            torch.stack([torch.relu(graph.own(nodes[i]) + graph.difference(nodes[j] - nodes[i])) for j in order]).amax(
                0
            )
        )
    expected = maps + graph.mix(torch.stack(edges).reshape(1, 128, 16, 16))
    torch.testing.assert_close(graph(maps), expected, atol=1e-4, rtol=0)


def test_positions_look_at_themselves_and_three_others_in_the_code() -> None:
    """Channel by channel: four neighbours, self included, from which the position is taken off twice."""
    torch.manual_seed(2)
    graph = PositionGraph().eval()
    maps = torch.randn(1, 128, 16, 16)
    rows = maps.reshape(128, 256)
    likeness = torch.cosine_similarity(rows.T[:, None], rows.T[None], dim=2)
    neighbours = likeness.argsort(dim=1, descending=True)[:, :4]
    assert (neighbours[:, 0] == torch.arange(256)).all()
    edges = []
    for channel in rows:
        differences = [channel[neighbours[:, j]] - channel for j in range(4)]
        edges.append(
            torch.stack([torch.relu(graph.own(channel) + graph.difference(d - channel)) for d in differences]).amax(0)
        )
    expected = maps + torch.stack(edges).reshape(1, 128, 16, 16)
    torch.testing.assert_close(graph(maps), expected, atol=1e-4, rtol=0)


def test_correlation_compares_displaced_positions() -> None:
    """The mean product with the position that lies up to 20 px away in steps of two, none beyond the border."""
    torch.manual_seed(3)
    first, second = torch.randn(2, 2, 8, 16, 16)
    found = Correlation()(first, second)
    assert found.shape == (2, 441, 16, 16)
    for down, right, y, x in ((0, 0, 3, 5), (-6, 4, 10, 2), (20, 20, 0, 0), (2, -2, 7, 1)):
        row, column = y + down, x + right
        tap = (down // 2 + 10) * 21 + right // 2 + 10
        inside = 0 <= row < 16 and 0 <= column < 16
        expected = (first[:, :, y, x] * second[:, :, row, column]).mean(1) if inside else torch.zeros(2)
        torch.testing.assert_close(found[:, tap, y, x], expected)


def test_pairs_are_the_slices_of_the_clip_in_order() -> None:
    """Folded into the batch or pair by pair, the head gets f1(0), f2(1), f1(1), f2(2), ..., and says the same."""
    torch.manual_seed(4)
    network = Recognition(3, 0.0, "paper").eval()
    video = _video(2)
    features = network.features
    slices = []
    with torch.inference_mode():
        for before, after in pairwise(scaled(video).unbind(1)):
            slices += [features.first(features.stem(before[:, None])), features.second(features.stem(after[:, None]))]
        expected = network.head(torch.stack(slices, dim=4))
        torch.testing.assert_close(network(video), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("ccc", ["paper", "code"])
def test_exported_path_answers_like_torch(ccc) -> None:  # type: ignore[no-untyped-def]
    """What is served is the path to the class alone, a few megabytes, with any batch."""
    torch.manual_seed(5)
    network = MOL(ccc=ccc).eval()
    graph = graph_of(network.for_serving(), "as_is")
    data = onnx_bytes(graph, NETWORKS[0].inputs)
    assert len(data) < 5e6
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for samples in (1, 5):
        video = _video(samples, seed=samples)
        (found,) = session.run(["probabilities"], {"video": video.numpy()})
        with torch.inference_mode():
            np.testing.assert_allclose(found, graph(video).numpy(), rtol=0, atol=1e-4)
            torch.testing.assert_close(torch.softmax(network(video), 1), graph(video))
