"""Weights stored in 8 bits: what rounding changes, and that storing what is rounded changes nothing."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from export.eight_bits import packed, rounded, unpacked
from export.onnx import onnx_bytes
from server.contract import TensorSpec

INPUT = TensorSpec(name="picture", dims=(2, 24, 24))


class _Network(nn.Module):
    """A convolution whose normalisation an exporter folds, and a large dense layer behind a small one."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 256, 5, bias=False)
        self.normalisation = nn.BatchNorm2d(256)
        self.small = nn.Linear(256, 8)
        self.large = nn.Linear(8, 600)

    def forward(self, picture: Tensor) -> Tensor:
        features = torch.relu(self.normalisation(self.convolution(picture))).mean((2, 3))
        values: Tensor = torch.softmax(self.large(torch.tanh(self.small(features))), dim=1)
        return values


@pytest.fixture
def network() -> _Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        built = _Network().eval()
        built.normalisation.weight.data.uniform_(0.5, 2.0)
        built.normalisation.running_var.uniform_(0.5, 2.0)
    return built


def _answer(model: bytes, picture: Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {INPUT.name: picture.numpy()})[0])


def test_large_kernels_lie_on_the_levels_of_their_channel(network: _Network) -> None:
    """Each channel of a large kernel has whole steps of a 127th of its largest weight, at most half a step away."""
    before, after = network.state_dict()["convolution.weight"], rounded(network.state_dict())["convolution.weight"]
    step = before.abs().amax((1, 2, 3), keepdim=True) / 127
    assert torch.allclose(after / step, (after / step).round(), atol=1e-4)
    assert ((after - before).abs() <= step / 2 * 1.001).all()
    assert not torch.equal(after, before)


def test_small_tensors_are_left_alone(network: _Network) -> None:
    """Biases, statistics and small layers keep every bit."""
    before, after = network.state_dict(), rounded(network.state_dict())
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == set(before) - {"convolution.weight", "large.weight"}


def test_channels_of_zeros_stay_zero() -> None:
    """A channel without any weight has no scale of its own and stays as it is."""
    state = {"weight": torch.zeros(2, 5000)}
    state["weight"][0] = torch.linspace(-1, 1, 5000)
    assert not rounded(state)["weight"][1].any()


def test_rounding_twice_changes_nothing_more(network: _Network) -> None:
    """What is rounded is its own rounding, but for the last bits of the scale."""
    once = rounded(network.state_dict())
    twice = rounded(once)
    assert all(torch.allclose(once[name], twice[name], rtol=1e-6, atol=0) for name in once)


def test_a_packed_graph_answers_as_the_rounded_network(network: _Network) -> None:
    """In less than half the space, folded normalisation included, to the last bits of float32."""
    network.load_state_dict(rounded(network.state_dict()))
    plain = onnx_bytes(network, (INPUT,))
    small = packed(onnx.load_from_string(plain)).SerializeToString()
    onnx.checker.check_model(small, full_check=True)
    assert len(small) < 0.5 * len(plain)
    picture = torch.rand(5, *INPUT.dims, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(picture).numpy()
    assert _answer(small, picture) == pytest.approx(expected, abs=1e-6)


def test_weights_that_are_not_rounded_are_not_packed(network: _Network) -> None:
    """A graph of ordinary weights keeps each of them as float32."""
    plain = onnx.load_from_string(onnx_bytes(network, (INPUT,)))
    result = packed(plain)
    kinds = {numpy_helper.to_array(each).dtype for each in result.graph.initializer}
    assert np.dtype(np.int8) not in kinds
    assert [node.op_type for node in result.graph.node] == [node.op_type for node in plain.graph.node]


def test_unpacking_gives_the_rounded_weights_back(network: _Network) -> None:
    """Names and numbers are those before packing, to the last bits, and the two operations are gone."""
    network.load_state_dict(rounded(network.state_dict()))
    plain = onnx.load_from_string(onnx_bytes(network, (INPUT,)))
    result = unpacked(packed(plain))
    onnx.checker.check_model(result, full_check=True)
    before = {each.name: numpy_helper.to_array(each) for each in plain.graph.initializer}
    after = {each.name: numpy_helper.to_array(each) for each in result.graph.initializer}
    assert before.keys() == after.keys()
    for name, weights in after.items():
        np.testing.assert_allclose(weights, before[name], rtol=1e-6, atol=1e-9)
    assert [node.op_type for node in result.graph.node] == [node.op_type for node in plain.graph.node]
    assert unpacked(plain) == plain
