"""STSTNet: its size, its shapes, and the merged form that is served."""

from __future__ import annotations

import pytest
import torch

from export.checkpoint import Checkpoint
from export.networks.ststnet import STSTNet


def test_parameter_count() -> None:
    """The layers of the paper with batch normalisation have 1683 parameters."""
    assert sum(parameter.numel() for parameter in STSTNet().parameters()) == 1683


@pytest.mark.parametrize("padding", [1, 2])
def test_streams_have_the_sizes_of_the_paper(padding: int) -> None:
    """With either padding, the streams are 3, 5 and 8 maps of 10 x 10 and the classifier sees 400 numbers."""
    network = STSTNet(padding=padding).eval()
    images = torch.rand(2, 3, 28, 28)
    streams = [
        network._stream(images, conv, norm)
        for conv, norm in ((network.conv1, network.bn1), (network.conv2, network.bn2), (network.conv3, network.bn3))
    ]
    assert [tuple(stream.shape) for stream in streams] == [(2, 3, 10, 10), (2, 5, 10, 10), (2, 8, 10, 10)]
    assert network.fc.in_features == 400
    assert network(images).shape == (2, 3)


def test_padding_changes_the_answer() -> None:
    """The two paddings are different functions, so weights made for one are wrong for the other."""
    one, two = STSTNet(padding=1).eval(), STSTNet(padding=2).eval()
    two.load_state_dict(one.state_dict())
    images = torch.rand(4, 3, 28, 28)
    assert not torch.allclose(one(images), two(images), atol=1e-3)


def test_padding_is_keyword_only() -> None:
    """A bare number in the constructor is refused, since nobody could tell what it means."""
    with pytest.raises(TypeError):
        STSTNet(2)  # type: ignore[misc]


def test_batch_normalisation_follows_the_rectifier(checkpoint: Checkpoint) -> None:
    """A stream is max-pooled normalised rectified convolution, in that order."""
    network = checkpoint.build()
    assert isinstance(network, STSTNet)
    images = torch.randn(3, 3, 28, 28)
    rectified = torch.relu(network.conv2(images))
    mean, variance = network.bn2.running_mean, network.bn2.running_var
    assert mean is not None
    assert variance is not None
    scaled = (rectified - mean[:, None, None]) / torch.sqrt(variance + network.bn2.eps)[:, None, None]
    expected = torch.nn.functional.max_pool2d(scaled, 3, 3, 1)
    torch.testing.assert_close(network._stream(images, network.conv2, network.bn2), expected, rtol=1e-5, atol=1e-5)


def test_merged_form_is_exactly_equal(checkpoint: Checkpoint) -> None:
    """One convolution of 16 filters gives bit for bit what three streams give."""
    network = checkpoint.build()
    assert isinstance(network, STSTNet)
    images = torch.randn(37, 3, 28, 28)
    with torch.inference_mode():
        assert torch.equal(network.for_serving()(images), network(images))


def test_merged_form_keeps_all_parameters() -> None:
    """Nothing is lost or added by merging."""
    assert sum(p.numel() for p in STSTNet().for_serving().parameters()) == 1683
