"""The linear network of regional LBP-TOP."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from export.adaptation.tgsr import fit
from export.networks.blocks import graph_of
from export.networks.tgsr import NETWORKS, NUMBERS, REGIONS, TGSR, state_of
from export.networks.tgsr_flow import project_on_simplex
from export.onnx import onnx_bytes
from server.errors import OptionError


def _features(samples: int, labels: np.ndarray | None = None, seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    """Histograms float32 [N, 85, 177], of which region 30 tells the label."""
    random = np.random.default_rng(seed)
    counts = random.gamma(0.5, size=(samples, REGIONS, 3, NUMBERS // 3))
    if labels is not None:
        counts[np.arange(samples), 30, 0, 5 + labels] += 40.0
    shares = counts / counts.sum(3, keepdims=True)
    return shares.reshape(samples, REGIONS, NUMBERS).astype(np.float32)


def test_it_has_one_coefficient_for_each_number_and_class() -> None:
    """15,045 numbers and three classes, without a bias."""
    assert sum(value.numel() for value in TGSR().parameters()) == 15_045 * 3


def test_a_fitted_network_knows_the_region_that_tells_the_class() -> None:
    """The solver keeps it among few, and the network answers new samples by it."""
    labels = np.arange(45) % 3
    source = _features(45, labels)
    found = fit(source.reshape(45, -1).T.astype(np.float64), labels, None, regions=REGIONS, kappa=4, xi=0.0)
    assert 30 in found.kept
    network = TGSR().eval()
    network.load_state_dict(state_of(found))
    wanted = np.arange(30) % 3
    with torch.inference_mode():
        logits = network(torch.from_numpy(_features(30, wanted, seed=1)))
    assert (logits.argmax(1).numpy() == wanted).all()


def test_softmax_of_the_logits_is_the_projection() -> None:
    """So the graph that surrounds every network serves the probabilities of the paper."""
    network = TGSR().eval()
    torch.manual_seed(0)
    features = torch.from_numpy(_features(6))
    with torch.no_grad():
        network.coefficients.normal_(0, 0.3)
        expected = project_on_simplex(features.flatten(1) @ network.coefficients)
        torch.testing.assert_close(torch.softmax(network(features), 1), expected, atol=1e-6, rtol=0)


def test_it_is_not_trained_by_gradients() -> None:
    """Training mode is refused with the place that fits it."""
    with pytest.raises(OptionError, match=r"TGSR\.solve"):
        TGSR().train()(torch.zeros(1, REGIONS, NUMBERS))


def test_exported_graph_answers_like_torch() -> None:
    """A file of 180 kB and a little that takes any batch."""
    network = TGSR().eval()
    torch.manual_seed(1)
    with torch.no_grad():
        network.coefficients.normal_(0, 0.1)
    graph = graph_of(network, "as_is")
    data = onnx_bytes(graph, NETWORKS[0].inputs)
    assert len(data) < 250_000
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    for samples in (1, 5):
        features = _features(samples, seed=samples)
        (found,) = session.run(["probabilities"], {"features": features})
        with torch.inference_mode():
            np.testing.assert_allclose(found, graph(torch.from_numpy(features)).numpy(), rtol=0, atol=1e-4)


def test_it_is_solved_on_people_of_whom_some_are_left_out() -> None:
    """Classes that differ in the histograms of a region are told apart, and the graph answers."""
    rng = np.random.default_rng(0)
    labels, people = np.arange(90) % 3, np.arange(90) // 15
    features = rng.random((90, REGIONS, NUMBERS)).astype(np.float32) / NUMBERS
    for label in range(3):
        features[labels == label, 7, label] += 0.3
    network = TGSR().eval()
    network.solve([torch.from_numpy(features)], labels, people)
    assert (network(torch.from_numpy(features)).argmax(1).numpy() == labels).mean() > 0.95
