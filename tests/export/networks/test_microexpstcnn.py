"""MicroExpSTCNN against the numbers of its source, and its served form."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.evaluation import measure
from export.networks.blocks import graph_of
from export.networks.microexpstcnn import NETWORKS, MicroExpSTCNN, VolumeStream
from export.onnx import onnx_bytes


def _clips(samples: int, frames: int = 18, side: int = 64) -> torch.Tensor:
    return 255 * torch.rand(samples, frames, side, side)


@pytest.mark.parametrize(("frames", "expected"), [(18, 1_643_267), (96, 44_241_667)])
def test_published_sizes_have_the_published_parameters(frames: int, expected: int) -> None:
    """The variants of SMIC and of CAS(ME)^2 can be built."""
    with torch.device("meta"):
        network = MicroExpSTCNN(frames=frames)
    assert sum(value.numel() for value in network.parameters()) == expected


@pytest.mark.parametrize(("frames", "times", "features"), [(18, 4, 12_800), (96, 82, 345_600)])
def test_volumes_have_the_published_shapes(frames: int, times: int, features: int) -> None:
    """32 filters at every place and time that the kernel fits, and the vector that is left of them."""
    with torch.device("meta"):
        stream = VolumeStream(frames=frames, side=64, dropout=0.5)
        clips = torch.empty(1, frames, 64, 64)
        assert stream.convolved(clips).shape == (1, 32, times, 62, 62)
        assert stream(clips).shape == (1, features)
    assert stream.features == features


def test_still_clip_looks_the_same_at_all_times() -> None:
    """A picture that does not move gives one answer of the convolution at every time step."""
    stream = VolumeStream(frames=18, side=64, dropout=0.5)
    volumes = stream.convolved(_clips(1)[:, :1].expand(-1, 18, -1, -1))
    assert torch.allclose(volumes, volumes[:, :, :1].expand_as(volumes), atol=1e-6)


def test_last_frame_is_not_seen() -> None:
    """Pooling drops the fourth time of the convolution, the only one that the last frame reaches."""
    network = MicroExpSTCNN().eval()
    clips = _clips(2)
    expected = network(clips)
    clips[:, 17] = 0
    assert torch.equal(network(clips), expected)
    clips[:, 16] = 0
    assert not torch.allclose(network(clips), expected)


@pytest.mark.parametrize("frames", [18, 22])
def test_served_form_is_the_same_function(frames: int) -> None:
    """Convolutions of two dimensions give the logits of the volume's, also where more than one time is left."""
    torch.manual_seed(0)
    network = MicroExpSTCNN(frames=frames, side=20).eval()
    clips = _clips(3, frames, 20)
    network.fit_scaling(clips)
    expected = network(clips)
    served = network.for_serving()
    assert torch.allclose(served(clips), expected, atol=1e-5)
    assert served.for_serving() is served


def test_scaling_is_fitted_and_kept() -> None:
    """Clips are centred by their mean and divided by what is then their maximum; the state remembers both."""
    network = MicroExpSTCNN()
    clips = _clips(4) * 0.5 + 40
    network.fit_scaling(clips)
    other = MicroExpSTCNN()
    other.load_state_dict(network.state_dict())
    stream = other.stream
    assert isinstance(stream, VolumeStream)
    scaled = (clips - stream.mean) / stream.peak
    assert abs(float(scaled.mean())) < 1e-4
    assert float(scaled.max()) == pytest.approx(1.0, abs=1e-5)


def test_scaling_of_clips_without_contrast_is_finite() -> None:
    """One grey level everywhere does not divide by zero."""
    network = MicroExpSTCNN().eval()
    clips = torch.full((2, 18, 64, 64), 90.0)
    network.fit_scaling(clips)
    assert torch.isfinite(network(clips)).all()


@pytest.mark.parametrize("served", [False, True])
def test_export_gives_the_same_answers(*, served: bool) -> None:
    """As an ONNX file with any batch; the served form has no convolution over time."""
    torch.manual_seed(0)
    network = MicroExpSTCNN().eval()
    clips = [_clips(samples) for samples in (1, 5)]
    expected = [torch.softmax(network(each), dim=1).detach().numpy() for each in clips]
    data = onnx_bytes(graph_of(network.for_serving() if served else network, "as_is"), NETWORKS[0].inputs)
    kernels = {
        len(attribute.ints)
        for node in onnx.load_from_string(data).graph.node
        for attribute in node.attribute
        if attribute.name == "kernel_shape"
    }
    assert kernels == ({2} if served else {3})
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for each, answer in zip(clips, expected, strict=True):
        (found,) = session.run(None, {"clip": each.numpy()})
        np.testing.assert_allclose(found, answer, atol=1e-4)


@pytest.mark.parametrize(
    ("confusion", "uf1", "uar", "accuracy"),
    [
        ([[19, 1, 1], [0, 11, 1], [1, 1, 6]], 0.8523, 0.8571, 0.8780),
        ([[14, 0, 5], [2, 2, 2], [1, 0, 6]], 0.6259, 0.6424, 0.6875),
    ],
    ids=["casme_square", "smic"],
)
def test_published_matrices_have_their_published_accuracy(
    confusion: list[list[int]], uf1: float, uar: float, accuracy: float
) -> None:
    """The accuracies of the paper are those of its matrices, of which UF1 and UAR follow."""
    measures = measure(np.array(confusion))
    found = (measures.uf1, measures.uar, measures.accuracy)
    assert found == pytest.approx((uf1, uar, accuracy), abs=5e-5)
