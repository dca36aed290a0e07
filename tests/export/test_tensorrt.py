"""TensorRT plans, built by a TensorRT that only records what it is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import torch

from export.cards import build_contract
from export.checkpoint import Checkpoint
from export.onnx import onnx_bytes, served_graph
from export.tensorrt import build_plan, check_plan
from server.contract import Engine, ModelContract
from server.errors import ConfigurationError
from server.predict.engine import Gpu
from tests.export import fake_tensorrt


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with TensorRT 10.13.3.9 and a GPU of compute capability 8.6."""
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: fake_tensorrt.CAPABILITY)
    fake_tensorrt.calls.clear()
    yield
    fake_tensorrt.calls.clear()


@pytest.fixture(scope="module")
def graph(checkpoint: Checkpoint) -> bytes:
    """An ONNX graph with a dynamic batch."""
    return onnx_bytes(served_graph(checkpoint))


@pytest.fixture
def contract(checkpoint: Checkpoint) -> ModelContract:
    """The contract of that graph."""
    return build_contract(checkpoint, "ours", "accurate", "a test")


def _with(contract: ModelContract, engine: Engine) -> ModelContract:
    return contract.model_copy(update={"engine": engine})


@pytest.mark.usefixtures("tensorrt")
def test_plan_says_what_it_runs_on(graph: bytes, contract: ModelContract) -> None:
    """Version, compute capability and workspace are recorded; TensorRT saw the graph as it is, and its memory limit."""
    plan, engine = build_plan(graph, contract.inputs, workspace_mib=256)
    assert engine == Engine(tensorrt="10.13.3.9", compute_capability="8.6", workspace_mib=256)
    assert ("set_memory_pool_limit", fake_tensorrt.MemoryPoolType.WORKSPACE, 256 * 2**20) in fake_tensorrt.calls
    assert ("build", graph) in fake_tensorrt.calls
    assert check_plan(plan, _with(contract, engine)) == ""


@pytest.mark.usefixtures("tensorrt")
def test_types_are_those_of_the_graph(graph: bytes, contract: ModelContract) -> None:
    """The network is strongly typed, and products of float32 are not rounded to TF32."""
    build_plan(graph, contract.inputs)
    assert ("create_network", 1 << fake_tensorrt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) in fake_tensorrt.calls
    assert ("clear_flag", fake_tensorrt.BuilderFlag.TF32) in fake_tensorrt.calls


@pytest.mark.usefixtures("tensorrt")
def test_batches_from_one_to_the_largest(graph: bytes, contract: ModelContract) -> None:
    """Each input has one profile: 1 at least, 8 at best, 64 at most, as Triton is configured."""
    build_plan(graph, contract.inputs)
    shapes = [call[1:] for call in fake_tensorrt.calls if call[0] == "set_shape"]
    assert shapes == [("flow", (1, 3, 28, 28), (8, 3, 28, 28), (64, 3, 28, 28))]


@pytest.mark.usefixtures("tensorrt")
def test_refused_graph_is_an_error(graph: bytes, contract: ModelContract, monkeypatch: pytest.MonkeyPatch) -> None:
    """What TensorRT's parser says is in the message; a build that gives nothing is an error as well."""
    with pytest.raises(ConfigurationError, match=r"TensorRT 10\.13\.3\.9 cannot read the graph: Failed to parse"):
        build_plan(b"nonsense", contract.inputs)
    monkeypatch.setattr(fake_tensorrt.Builder, "fails", True)
    with pytest.raises(ConfigurationError, match="built no engine"):
        build_plan(graph, contract.inputs)


def test_without_tensorrt_it_is_said_what_to_install(
    graph: bytes, contract: ModelContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the package."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(ConfigurationError, match="pip install tensorrt==VERSION"):
        build_plan(graph, contract.inputs)


@pytest.mark.usefixtures("tensorrt")
def test_without_a_gpu_it_is_said_what_is_needed(
    graph: bytes, contract: ModelContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT alone is not enough, and the other way is named."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match=r"NVIDIA GPU.*--accelerator tensorrt"):
        build_plan(graph, contract.inputs)


@pytest.mark.usefixtures("tensorrt")
def test_plan_of_another_machine_is_found(graph: bytes, contract: ModelContract) -> None:
    """Another GPU, another TensorRT, bytes that are no plan and other tensors are each told apart."""
    plan, engine = build_plan(graph, contract.inputs)
    elsewhere = engine.model_copy(update={"compute_capability": "9.0"})
    newer = engine.model_copy(update={"tensorrt": "10.14.1.48"})
    assert "compute capability 9.0, and the GPU has 8.6" in check_plan(plan, _with(contract, elsewhere))
    assert "TensorRT 10.14.1.48, and Triton has 10.13.3.9" in check_plan(plan, _with(contract, newer))
    assert "does not load" in check_plan(b"nonsense", _with(contract, engine))
    (flow,) = contract.inputs
    other = _with(contract, engine).model_copy(update={"inputs": (flow.model_copy(update={"name": "motion"}),)})
    assert "'motion'" in check_plan(plan, other)


@pytest.mark.parametrize(
    ("gpu", "reason"),
    [
        (Gpu(), ""),
        (Gpu("8.6", "10.13.3"), ""),
        (Gpu("8.6", "10.13.3.9"), ""),
        (Gpu("8.9"), "compute capability 8.6, and the GPU has 8.9"),
        (Gpu("", "10.1"), "built by TensorRT 10.13.3.9, and Triton has 10.1"),
    ],
)
def test_what_is_not_known_is_not_held_against_a_plan(gpu: Gpu, reason: str) -> None:
    """Only what was stated is compared, a version as far as it was stated."""
    engine = Engine(tensorrt="10.13.3.9", compute_capability="8.6", workspace_mib=1024)
    found = gpu.misfit(engine)
    assert reason in found
    assert bool(reason) == bool(found)
