"""A tiny model in a repository of its own, for every test of the predictors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper
from tritonclient.grpc import model_config_pb2

from tests.scripted_triton import ScriptedTriton

DIMS = (3, 8, 8)
LABELS = ("negative", "positive", "surprise")
RECIPE = "flow_uvs_8"


def tiny_onnx(*, seed: int = 0, nan: bool = False, late_nan: bool = False, rounds: int = 0, classes: int = 3) -> bytes:
    """Network: flow [N, 3, 8, 8] -> probabilities [N, 3], embedding [N, 4].

    `nan` divides 0 by 0, `late_nan` fails only where the input is not zero; `rounds` times the largest input is how
    often a 192 x 192 matrix is multiplied, so that a call takes a while on ones, and none on zeros. It gives `classes`
    probabilities, whatever its configuration says.
    """
    rng = np.random.default_rng(seed)
    values = int(np.prod(DIMS))
    weights = {
        "w": rng.normal(size=(values, 4)).astype(np.float32) / 14,
        "head": rng.normal(size=(4, classes)).astype(np.float32) / 3,
        "zero": np.zeros(1, np.float32),
    }
    nodes = [
        helper.make_node("Flatten", ["flow"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "head"], ["logits"]),
    ]
    last = "logits"
    if rounds:
        weights |= {"square": np.eye(values, dtype=np.float32), "go": np.array(True)}
        weights |= {"rounds": np.array(rounds, np.float32), "both": np.array([0, 1], np.int64)}
        nodes += [
            helper.make_node("ReduceMax", ["flat", "both"], ["largest"], keepdims=0),
            helper.make_node("Mul", ["largest", "rounds"], ["trips_f"]),
            helper.make_node("Cast", ["trips_f"], ["trips"], to=TensorProto.INT64),
            _loop(),
            helper.make_node("ReduceMean", ["slow", "both"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
            helper.make_node("Add", ["logits", "nothing"], ["late"]),
        ]
        last = "late"
    if nan:
        nodes.append(helper.make_node("Div", ["zero", "zero"], ["nan"]))
        nodes.append(helper.make_node("Add", [last, "nan"], ["spoiled"]))
        last = "spoiled"
    if late_nan:
        nodes += [
            helper.make_node("Abs", [last], ["size"]),
            helper.make_node("Neg", ["size"], ["below"]),
            helper.make_node("Sqrt", ["below"], ["root"]),
        ]
        last = "root"
    nodes.append(helper.make_node("Softmax", [last], ["probabilities"], axis=1))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("flow", TensorProto.FLOAT, ["n", *DIMS])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 4]),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _loop() -> Any:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["before", "square"], ["after"]),
            helper.make_node("Identity", ["go_in"], ["go_out"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    return helper.make_node("Loop", ["trips", "go", "square"], ["slow"], body=body)


def contract_of(name: str, **changes: Any) -> dict[str, Any]:
    """The tiny model's contract, with fields changed."""
    contract = {
        "name": name,
        "recipe": RECIPE,
        "inputs": [{"name": "flow", "dims": list(DIMS)}],
        "outputs": [{"name": "probabilities", "dims": [3]}, {"name": "embedding", "dims": [4]}],
        "labels": list(LABELS),
        "provenance": {"network": "tiny", "source": "trained", "command": "none", "training_data": "none"},
    }
    return contract | changes


def config_of(name: str, contract: dict[str, Any] | None, *, largest: int = 8) -> model_config_pb2.ModelConfig:
    """The tiny model's configuration as `export` writes it, warm-up and all."""
    config = model_config_pb2.ModelConfig(name=name, backend="onnxruntime", max_batch_size=largest)
    config.input.add(name="flow", data_type=model_config_pb2.TYPE_FP32, dims=DIMS)
    config.output.add(name="probabilities", data_type=model_config_pb2.TYPE_FP32, dims=[3])
    config.output.add(name="embedding", data_type=model_config_pb2.TYPE_FP32, dims=[4])
    config.instance_group.add(kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=1)
    config.dynamic_batching.SetInParent()
    for size in (1, largest):
        warm = config.model_warmup.add(name=f"batch of {size}", batch_size=size)
        warm.inputs["flow"].CopyFrom(
            model_config_pb2.ModelWarmup.Input(data_type=model_config_pb2.TYPE_FP32, dims=DIMS, zero_data=True)
        )
    if contract is not None:
        config.parameters["contract"].string_value = json.dumps(contract)
    return config


class RepositoryMaker:
    """Writes model folders below `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(
        self,
        name: str,
        *,
        config: model_config_pb2.ModelConfig | str | None = None,
        versions: dict[str, bytes] | None = None,
        labels: tuple[str, ...] | None = LABELS,
        card: str | None = '{"title": "Tiny"}',
    ) -> Path:
        """One model folder; `config` as text or message, `versions` the ONNX bytes by version."""
        folder = self.path / name
        folder.mkdir(parents=True)
        if config is None:
            config = config_of(name, contract_of(name))
        text = config if isinstance(config, str) else text_format.MessageToString(config)
        (folder / "config.pbtxt").write_text(text, encoding="utf-8")
        if labels is not None:
            (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
        if card is not None:
            (folder / "card.json").write_text(card, encoding="utf-8")
        for version, data in ({"1": tiny_onnx()} if versions is None else versions).items():
            (folder / version).mkdir()
            (folder / version / "model.onnx").write_bytes(data)
        return folder


class Tiny:
    """The tiny model's facts and makers, since test modules cannot import each other."""

    dims = DIMS
    labels = LABELS
    recipe = RECIPE
    onnx = staticmethod(tiny_onnx)
    contract = staticmethod(contract_of)
    config = staticmethod(config_of)

    @staticmethod
    def batch(size: int, seed: int = 1) -> dict[str, Any]:
        """Random inputs."""
        rng = np.random.default_rng(seed)
        return {"flow": rng.normal(size=(size, *DIMS)).astype(np.float32)}

    @staticmethod
    def ones() -> dict[str, Any]:
        """The input on which the slow model is slow."""
        return {"flow": np.ones((1, *DIMS), np.float32)}


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    """The tiny model."""
    return Tiny()


@pytest.fixture(scope="session")
def repository_maker() -> type[RepositoryMaker]:
    """Writes model folders below a path."""
    return RepositoryMaker


@pytest.fixture
def maker(tmp_path: Path) -> RepositoryMaker:
    """An empty repository for one test."""
    path = tmp_path / "models"
    path.mkdir()
    return RepositoryMaker(path)


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with good and bad models: tiny, both, nan, slow, brief, foreign, broken."""
    maker = RepositoryMaker(tmp_path_factory.mktemp("zoo"))
    maker.add("tiny")
    both = config_of("both", contract_of("both"))
    both.version_policy.all.SetInParent()
    maker.add("both", config=both, versions={"2": tiny_onnx(), "10": tiny_onnx(seed=1)})
    # Without a warm-up, which would find the NaN before a request does.
    nan = config_of("nan", contract_of("nan"))
    del nan.model_warmup[:]
    maker.add("nan", config=nan, versions={"1": tiny_onnx(nan=True)})
    maker.add("slow", versions={"1": tiny_onnx(rounds=4_000_000)})
    maker.add("brief", versions={"1": tiny_onnx(rounds=5_000)})
    maker.add("foreign", config=config_of("foreign", contract_of("foreign", recipe="from_the_future")))
    maker.add("broken", versions={"1": b"nonsense"})
    return maker.path


@pytest.fixture(scope="session")
def triton(triton_server_factory: Callable[..., Any], zoo: Path) -> Any:
    """A real Triton that serves the zoo."""
    return triton_server_factory(zoo)


@pytest.fixture
async def replicas(tiny: Tiny) -> AsyncIterator[list[ScriptedTriton]]:
    """Two servers that follow a script, each with its `address` and `server`."""
    servicers = [ScriptedTriton(tiny), ScriptedTriton(tiny)]
    for servicer in servicers:
        await servicer.listen()
    yield servicers
    for servicer in servicers:
        await servicer.server.stop(grace=None)
