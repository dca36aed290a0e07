"""HTNet against the numbers of its source, and what its attention does."""

from __future__ import annotations

import pytest
import torch

from export.networks.htnet import HTNet, mosaic, patches


@pytest.mark.parametrize(("width", "layers", "expected"), [(256, (2, 2, 10), 139_582_982), (96, (2, 2, 8), 16_145_478)])
def test_published_sizes_have_the_published_parameters(width: int, layers: tuple[int, ...], expected: int) -> None:
    """The variants of the paper can be built."""
    with torch.device("meta"):
        network = HTNet(width=width, layers=layers)
    assert sum(value.numel() for value in network.parameters()) == expected


def test_queries_and_keys_are_without_effect() -> None:
    """One token in each block: other queries and keys give the same answer, other values another one."""
    network = HTNet().eval()
    images = torch.randn(3, 3, 28, 28)
    expected = network(images)
    with torch.no_grad():
        for level in network.levels:
            for layer in level.layers:
                layer.attention.qkv.weight[: 2 * layer.attention.inner] = 7.0
    assert torch.equal(network(images), expected)
    with torch.no_grad():
        network.levels[0].layers[0].attention.qkv.weight[:] = 7.0
    assert not torch.allclose(network(images), expected)


def test_served_form_is_the_same_function() -> None:
    """Without queries and keys, fewer weights and equal logits."""
    network = HTNet().eval()
    images = torch.randn(5, 3, 28, 28)
    expected = network(images)
    count = sum(value.numel() for value in network.parameters())
    served = network.for_serving()
    assert torch.allclose(served(images), expected, atol=1e-5)
    assert sum(value.numel() for value in served.parameters()) < count


def test_mosaic_puts_eyes_above_mouth_corners() -> None:
    """Four windows of 14 px that lie where eyes and mouth corners of an aligned face do."""
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    found = mosaic(torch.stack([rows, columns, rows])[None])[0]
    assert found.shape == (3, 28, 28)
    centres = found[:2, [7, 7, 21, 21], [7, 21, 7, 21]].T
    assert centres.tolist() == [[7, 7], [7, 21], [21, 7], [21, 20]]


def test_patches_keep_rows_columns_and_channels_in_order() -> None:
    """Channel 21 r + 3 c + k of a token is pixel (r, c) of plane k of its patch."""
    images = torch.rand(2, 3, 28, 28)
    tokens = patches(images)
    assert tokens.shape == (2, 147, 4, 4)
    assert torch.equal(tokens[:, 21 * 2 + 3 * 5 + 1, 3, 1], images[:, 1, 3 * 7 + 2, 1 * 7 + 5])
