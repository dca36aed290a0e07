"""Many checkpoints of one network as ONNX."""

from __future__ import annotations

import onnx
import pytest
import torch

from export.networks.network import FLOW_INPUT
from export.onnx import onnx_bytes, served_graph
from export.onnx_series import OnnxSeries
from tests.export.conftest import make_checkpoint


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[torch.nn.Module]:
    """The graphs that were traced."""
    graphs: list[torch.nn.Module] = []

    def counted(graph: torch.nn.Module, inputs: object) -> bytes:
        graphs.append(graph)
        return onnx_bytes(graph)

    monkeypatch.setattr("export.onnx_series.onnx_bytes", counted)
    return graphs


def test_other_weights_need_no_other_trace(traced: list[torch.nn.Module]) -> None:
    """The second checkpoint of a network gets the bytes of an export of its own; another shape, another trace."""
    first, second, other = (served_graph(make_checkpoint(seed, "imported")) for seed in range(3))
    other.network.fc = torch.nn.Linear(400, 4)
    series = OnnxSeries()
    files = [series(graph, (FLOW_INPUT,)) for graph in (first, second, other)]
    assert files[1] == onnx_bytes(second) != files[0]
    assert _shape(files[2]) == [4, 400]
    assert traced == [first, other]


def test_weights_that_an_export_computes_are_never_kept(traced: list[torch.nn.Module]) -> None:
    """Where a number of the file is no weight by its name, each checkpoint is traced anew."""
    graphs, series = [served_graph(make_checkpoint(seed)) for seed in range(2)], OnnxSeries()
    for graph in graphs:
        series(graph, (FLOW_INPUT,))
    assert traced == graphs


def _shape(data: bytes) -> list[int]:
    (weight,) = (x for x in onnx.load_from_string(data).graph.initializer if x.name == "network.fc.weight")
    return list(weight.dims)
