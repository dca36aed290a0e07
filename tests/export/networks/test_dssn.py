"""DSSN against the numbers of its source."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from export.networks.blocks import graph_of
from export.networks.dssn import DSSN, NETWORKS, SSSN, Merge, Stem, normalised
from export.onnx import onnx_bytes

MERGES: tuple[Merge, ...] = ("multiply", "add", "concatenate")


def _count(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def _images(samples: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = (255 * torch.rand(samples, 3, 227, 227, generator=generator) for _ in range(2))
    return first, second


@pytest.mark.parametrize(
    ("merge", "classes", "expected"),
    [
        ("multiply", 5, 972_805),
        ("multiply", 3, 857_603),
        ("add", 5, 972_805),
        ("add", 3, 857_603),
        ("concatenate", 5, 1_260_805),
        ("concatenate", 3, 1_030_403),
    ],
)
def test_variants_have_the_published_parameters(merge: Merge, classes: int, expected: int) -> None:
    """Two stems and a dense layer on 57,600 features, twice as many where maps are concatenated."""
    with torch.device("meta"):
        assert _count(DSSN(merge=merge, classes=classes)) == expected


def test_one_stream_has_the_published_parameters() -> None:
    """A stem has 342,400, and the single-stream network 630,405 for five and 515,203 for three classes."""
    with torch.device("meta"):
        assert _count(Stem()) == 342_400
        assert [_count(SSSN(classes=classes)) for classes in (5, 3)] == [630_405, 515_203]


def test_a_stem_gives_maps_in_a_ring_of_zeros() -> None:
    """256 maps of 15 x 15, 57,600 features, nothing in the outermost rows and columns, something within."""
    maps = Stem()(_images(2)[0])
    assert maps.shape == (2, 256, 15, 15)
    assert maps[0].numel() == 57_600
    inner = torch.zeros_like(maps)
    inner[:, :, 1:-1, 1:-1] = maps[:, :, 1:-1, 1:-1]
    assert torch.equal(maps, inner)
    assert maps.abs().sum() > 0


def test_normalisation_is_that_of_alexnet() -> None:
    """Equal to PyTorch's, whose alpha counts for the mean of the five channels and not for their sum."""
    maps = 100 * torch.randn(2, 9, 4, 4)
    expected = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)(maps)
    torch.testing.assert_close(normalised(maps), expected, rtol=1e-5, atol=1e-5)


def test_groups_see_half_of_the_channels() -> None:
    """The first 128 maps do not depend on the filters that only the second half of them sees."""
    stem = Stem(ring=False)
    images = _images(1)[0]
    before = stem(images)
    with torch.no_grad():
        stem.conv1.weight[52:] += 1.0
    changed = (stem(images) != before).flatten(2).any(2)[0]
    assert not changed[:126].any()
    assert changed[130:].any()


def test_product_is_zero_where_a_stream_is_silent() -> None:
    """An image that equals the mean has no features without biases, and the merged map is zero whatever the other."""
    network = DSSN().eval()
    magnitude, _ = _images(1)
    silent = network.strain.mean.expand(1, 3, 227, 227)
    assert torch.equal(network(magnitude, silent), network.head.bias[None])


@pytest.mark.parametrize("merge", ["multiply", "add"])
def test_streams_may_be_swapped_with_their_inputs(merge: Merge) -> None:
    """Both merges are symmetric: swapped images in swapped stems have the same logits."""
    network = DSSN(merge=merge).eval()
    magnitude, strain = _images(2)
    expected = network(magnitude, strain)
    network.magnitude, network.strain = network.strain, network.magnitude
    assert torch.equal(network(strain, magnitude), expected)


@pytest.mark.parametrize("merge", MERGES)
def test_served_form_is_the_same_function(merge: Merge) -> None:
    """Without the ring a quarter of the dense weights is gone and the logits are equal; serving twice is harmless."""
    network = DSSN(merge=merge).eval()
    images = _images(2)
    with torch.inference_mode():
        expected = network(*images)
        served = network.for_serving()
        torch.testing.assert_close(served(*images), expected, atol=1e-5, rtol=0)
        assert served.for_serving() is served
    ring = 14_336 * 3 * (2 if merge == "concatenate" else 1)
    assert _count(network) - _count(served) == ring


@pytest.mark.parametrize("registered", NETWORKS, ids=lambda network: str(network.name))
def test_exported_graph_answers_like_torch(registered) -> None:  # type: ignore[no-untyped-def]
    """Every variant becomes a static graph of two inputs that takes any batch."""
    torch.manual_seed(0)
    graph = graph_of(registered.build().eval().for_serving(), "as_is")
    data = onnx_bytes(graph, registered.inputs)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["magnitude", "strain"]
    for samples in (1, 5):
        magnitude, strain = _images(samples, seed=samples)
        (found,) = session.run(["probabilities"], {"magnitude": magnitude.numpy(), "strain": strain.numpy()})
        with torch.inference_mode():
            expected = graph(magnitude, strain).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
