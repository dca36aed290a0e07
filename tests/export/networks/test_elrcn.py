"""ELRCN against the numbers of its source, and its small twins."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from export.networks.blocks import graph_of
from export.networks.elrcn import FULL_SIZE, NETWORKS, SMALL_SE, ElrcnSE, ElrcnTE, Encoder, Temporal
from export.networks.network import Network
from export.onnx import onnx_bytes

SECOND_BIASES = 4 * 3000
"""PyTorch has two biases for each gate, the authors' library one."""
SMALL = pytest.mark.parametrize("network", NETWORKS, ids=lambda each: each.name)


def _parameters(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def _inputs(samples: int, seed: int = 0) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    shapes = ((9, 3, 64, 64), (9, 1, 64, 64), (9, 1, 64, 64))
    scales = ((16.0, 128.0), (4.0, 0.0), (60.0, 128.0))
    return [
        spread * torch.randn(samples, *shape, generator=random) + middle
        for shape, (spread, middle) in zip(shapes, scales, strict=True)
    ]


@pytest.mark.parametrize(("channels", "expected"), [(3, 134_260_544), (4, 134_261_120), (5, 134_261_696)])
def test_full_encoder_is_a_vgg_16(channels: int, expected: int) -> None:
    """Up to its second dense layer, 4096 numbers for each step of pictures of 224 px."""
    with torch.device("meta"):
        encoder = Encoder(channels, FULL_SIZE, dropout=0.5)
        assert encoder(torch.empty(2, 9, channels, 224, 224)).shape == (2, 9, 4096)
    assert _parameters(encoder) == expected


@pytest.mark.parametrize(("inputs", "memory"), [(4096, 85_164_000), (8192, 134_316_000), (12_288, 183_468_000)])
def test_full_memory_has_the_published_parameters(inputs: int, memory: int) -> None:
    """For one, two and three encoders."""
    with torch.device("meta"):
        temporal = Temporal(inputs, FULL_SIZE.hidden, classes=5)
    assert _parameters(temporal.memory) == memory + SECOND_BIASES
    assert _parameters(temporal.head) == 384_128 + 645


@pytest.mark.parametrize(("form", "expected"), [(ElrcnSE, 219_810_469), (ElrcnTE, 586_634_405)])
def test_full_size_has_the_published_parameters(form: type[ElrcnSE | ElrcnTE], expected: int) -> None:
    """Both forms can be built as published, with five classes."""
    with torch.device("meta"):
        network = form(classes=5)
        shapes = [torch.empty(2, 9, channels, 224, 224) for channels in (3, 1, 1)]
        assert network(*shapes).shape == (2, 5)
    assert _parameters(network) == expected + SECOND_BIASES


def test_full_memory_reads_the_vectors_of_all_streams() -> None:
    """12288 numbers a step for TE, 4096 for SE."""
    with torch.device("meta"):
        widths = [form().temporal.memory.cell.input_size for form in (ElrcnSE, ElrcnTE)]
    assert widths == [4096, 12_288]


@SMALL
def test_twins_are_small(network: Network) -> None:
    """Less than a million parameters each."""
    assert _parameters(network.build()) < 1_000_000


@SMALL
def test_order_of_the_steps_matters(network: Network) -> None:
    """The memory runs over steps, and each input has a say."""
    torch.manual_seed(0)
    built = network.build().eval()
    inputs = _inputs(1)
    expected = built(*inputs)
    assert not torch.allclose(built(*[each.flip(1) for each in inputs]), expected, atol=1e-6)
    for number in range(3):
        changed = [each + 30 if other == number else each for other, each in enumerate(inputs)]
        assert not torch.allclose(built(*changed), expected, atol=1e-6)


def test_steps_and_samples_are_not_mixed() -> None:
    """A vector is that of its own step of its own sample."""
    encoder = Encoder(5, SMALL_SE, dropout=0.5).eval()
    pictures = torch.randn(3, 4, 5, 64, 64)
    vectors = encoder(pictures)
    assert vectors.shape == (3, 4, 128)
    assert torch.allclose(encoder(pictures[1:2, 2:3])[0, 0], vectors[1, 2], atol=1e-5)


@SMALL
def test_export_gives_the_same_answers(network: Network) -> None:
    """As an ONNX file with three inputs and any batch."""
    torch.manual_seed(0)
    graph = graph_of(network.build(), "as_is")
    session = onnxruntime.InferenceSession(onnx_bytes(graph, network.inputs), providers=["CPUExecutionProvider"])
    for samples in (1, 5):
        inputs = _inputs(samples, seed=samples)
        feed = {spec.name: value.numpy() for spec, value in zip(network.inputs, inputs, strict=True)}
        (found,) = session.run(None, feed)
        np.testing.assert_allclose(found, graph(*inputs).detach().numpy(), atol=1e-4)
