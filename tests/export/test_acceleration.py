"""A published model once more, for a GPU."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export import acceleration
from export.acceleration import Acceleration, accelerate
from export.build import publish_checkpoint
from export.checkpoint import Checkpoint
from export.cli import main
from export.networks.registry import NETWORKS
from export.repository import published_names, read_published
from export.verify import verify
from server.errors import ConfigurationError, OptionError, UnknownModel
from server.predict.tritonserver import TritonServer
from tests.export import fake_tensorrt


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    """A repository with `ours`, to which models may be added."""
    shutil.copytree(repository / "ours", tmp_path / "models" / "ours")
    return tmp_path / "models"


def _add_gpu(machine: pytest.MonkeyPatch) -> None:
    """TensorRT 10.13.3.9 and a GPU of compute capability 8.6, which only record what they are told."""
    machine.setitem(sys.modules, "tensorrt", fake_tensorrt)
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "get_device_capability", lambda: fake_tensorrt.CAPABILITY)


def _failed(repository: Path, name: str, **options: str) -> list[str]:
    checks = verify(repository, name, **options)  # type: ignore[arg-type]
    return [f"{check.name}: {check.detail}" for check in checks if not check.passed]


def _config(repository: Path, name: str) -> triton.ModelConfig:
    return read_published(repository, name).config


def test_accelerator_is_written_and_verified(copy: Path) -> None:
    """Triton is told of TensorRT with its memory and cache, the graph stays byte for byte, and verification passes."""
    wanted = Acceleration(accelerator="tensorrt", workspace_mib=512, engine_cache="/cache")
    made = accelerate(copy, "ours", wanted, name="fast", command="a test")
    assert made.place == copy / "fast" / "1"
    config = _config(copy, "fast")
    (found,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert found.name == "tensorrt"
    assert dict(found.parameters) == {
        "max_workspace_size_bytes": str(512 * 2**20),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/cache",
    }
    assert config.backend == "onnxruntime"
    assert [group.kind for group in config.instance_group] == [triton.ModelInstanceGroup.KIND_AUTO]
    assert (made.place / "model.onnx").read_bytes() == (copy / "ours" / "1" / "model.onnx").read_bytes()
    assert _failed(copy, "fast") == []


def test_largest_batch_is_warmed_first(copy: Path) -> None:
    """TensorRT's engine is built for all sizes while the model loads: the largest comes first, then the smallest."""
    accelerate(copy, "ours", Acceleration(accelerator="tensorrt"), name="fast", command="a test")
    assert [warmup.batch_size for warmup in _config(copy, "fast").model_warmup] == [64, 1, 8, 32]


def test_changed_accelerator_is_found(copy: Path) -> None:
    """What Triton computes with is part of what is compared with the contract."""
    accelerate(copy, "ours", Acceleration(accelerator="tensorrt"), name="fast", command="a test")
    path = copy / "fast" / "config.pbtxt"
    path.write_text(path.read_text().replace(str(2**30), str(2**29)))
    assert _failed(copy, "fast") == ["configuration: differs from the contract in optimization"]


def test_half_precision_is_measured_and_recorded(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The difference is printed and stands in the card; verification allows what the contract says, and says so."""
    with pytest.raises(SystemExit) as end:
        main(["accelerate", "ours", "--to", "half", "--precision", "fp16", "--repository", str(copy)])
    assert end.value.code == 0
    printed = capsys.readouterr()
    assert printed.out.split() == [str(copy / "half" / "1")]
    published = read_published(copy, "half")
    precision = published.card["precision"]
    difference = precision["largest_difference"]["probabilities"]
    assert f"probabilities differs from single precision by at most {difference:.1e}" in printed.err
    assert 0 < difference < 1e-3
    assert published.contract.precision is not None
    assert published.contract.precision.tolerance == precision["tolerance"] == 1e-2
    assert published.card["made_from"] == "ours"
    checks = {check.name: check for check in verify(copy, "half")}
    assert all(check.passed for check in checks.values()), checks
    assert checks["torch and local"].detail.endswith("(allowed 1e-02, for half precision)")


def test_half_precision_that_changes_answers_is_not_published(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the tolerance, or where an answer is not a number, nothing is written."""
    for difference in (0.02, float("nan")):
        monkeypatch.setattr(acceleration, "largest_differences", lambda *_, d=difference: {"probabilities": d})
        with pytest.raises(OptionError, match="changes the answers"):
            accelerate(copy, "ours", Acceleration("fp16"), name="half", command="a test")
    assert published_names(copy) == ["ours"]


def test_plan_is_published_with_what_it_runs_on(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan asks for a GPU and the TensorRT backend, and says for which; the machine that built it accepts it."""
    _add_gpu(monkeypatch)
    made = accelerate(copy, "ours", Acceleration(precision="fp16", format="plan"), name="plan", command="a test")
    published = read_published(copy, "plan")
    assert sorted(path.name for path in made.place.iterdir()) == ["model.plan", "weights.pth"]
    assert (published.config.backend, published.config.default_model_filename) == ("tensorrt", "model.plan")
    assert [group.kind for group in published.config.instance_group] == [triton.ModelInstanceGroup.KIND_GPU]
    assert published.card["engine"] == {"tensorrt": "10.13.3.9", "compute_capability": "8.6", "workspace_mib": 1024}
    assert published.contract.precision is not None
    assert _failed(copy, "plan") == []


def test_plan_elsewhere_is_not_verified(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another GPU the check says for which one the plan was built, without TensorRT what is lacking."""
    with monkeypatch.context() as machine:
        _add_gpu(machine)
        accelerate(copy, "ours", Acceleration(format="plan"), name="plan", command="a test")
        machine.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
        (failed,) = _failed(copy, "plan")
        assert failed.startswith("plan: its plan was built for compute capability 8.6, and the GPU has 9.0")
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    (failed,) = _failed(copy, "plan")
    assert "need the package tensorrt" in failed


def test_without_tensorrt_no_plan_is_written(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes before anything is in the repository."""
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(ConfigurationError, match="pip install tensorrt"):
        accelerate(copy, "ours", Acceleration(format="plan"), name="plan", command="a test")
    assert published_names(copy) == ["ours"]


@pytest.mark.parametrize(
    "options",
    [
        {"format": "plan", "accelerator": "tensorrt"},
        {"workspace_mib": 256},
        {"format": "plan", "engine_cache": "/cache"},
    ],
)
def test_options_that_do_not_go_together(options: dict[str, str]) -> None:
    """Options of TensorRT need TensorRT, and a plan has no accelerator."""
    with pytest.raises(OptionError):
        Acceleration(**options)  # type: ignore[arg-type]


def test_what_cannot_be_accelerated(copy: Path) -> None:
    """Its own name, a name that is none, a version that exists, a model in half precision and one that is not there."""
    accelerate(copy, "ours", Acceleration("fp16"), name="half", command="a test")
    wanted = Acceleration(accelerator="tensorrt")
    for source, name, said in (
        ("ours", "ours", "another name"),
        ("ours", "../ours", "no name of a model"),
        ("ours", "half", "exists"),
        ("half", "fast", "start from ours"),
    ):
        with pytest.raises(OptionError, match=said):
            accelerate(copy, source, wanted, name=name, command="a test")
    with pytest.raises(UnknownModel):
        accelerate(copy, "nobody", wanted, name="fast", command="a test")


def _publish_random(repository: Path, name: str) -> None:
    network = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = network.build(**network.trained.arguments()).state_dict()
    checkpoint = Checkpoint(name, "trained", network.trained, state, {"data": "none"}, sha256="0" * 64)
    publish_checkpoint(checkpoint, repository, name=name, command="a test")


def test_triton_without_a_gpu(
    copy: Path, monkeypatch: pytest.MonkeyPatch, triton_server_factory: Callable[..., TritonServer]
) -> None:
    """It answers in half precision and by models with an accelerator; what needs a GPU it refuses, saying so."""
    accelerate(copy, "ours", Acceleration("fp16", "tensorrt"), name="ours_half", command="a test")
    accelerate(copy, "ours", Acceleration(accelerator="tensorrt"), name="ours_fast", command="a test")
    with monkeypatch.context() as machine:
        _add_gpu(machine)
        accelerate(copy, "ours", Acceleration(format="plan"), name="ours_plan", command="a test")
    for network in ("microexpstcnn", "dssn"):
        _publish_random(copy, network)
        accelerate(copy, network, Acceleration("fp16"), name=f"{network}_half", command="a test")
    accelerate(copy, "ours", Acceleration(accelerator="tensorrt"), name="ours_gpu", command="a test")
    config = _config(copy, "ours_gpu")
    config.instance_group[0].kind = triton.ModelInstanceGroup.KIND_GPU
    (copy / "ours_gpu" / "config.pbtxt").write_text(text_format.MessageToString(config))
    server = triton_server_factory(copy)
    for name in ("ours_half", "ours_fast", "microexpstcnn_half", "dssn_half"):
        assert _failed(copy, name, triton_address=server.grpc_address) == []
    (failed,) = _failed(copy, "ours_plan", triton_address=server.grpc_address)
    assert "unable to find backend library for backend 'tensorrt'" in failed
    (_, failed) = _failed(copy, "ours_gpu", triton_address=server.grpc_address)
    assert "has kind KIND_GPU but no GPUs are available" in failed
    server.stop()


def test_cards_and_contracts_of_others_do_not_mention_it(copy: Path) -> None:
    """A model that was published without any of this has a contract that older gateways read."""
    text = _config(copy, "ours").parameters["contract"].string_value
    assert {"precision", "accelerator", "engine"}.isdisjoint(json.loads(text))
