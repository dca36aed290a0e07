"""Ensembles: Triton's steps in this process, the same answers from both backends, and members that are not there."""

from __future__ import annotations

import json
import time

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx import TensorProto, helper
from tritonclient.grpc import model_config_pb2

from server.contract import ModelContract
from server.errors import ModelNotServable, UnknownModel
from server.predict.local import LocalPredictor
from server.predict.repository import ModelRepository
from server.predict.steps import steps_of
from server.predict.triton import TritonPredictor

PART = "both.mean-00000000"
STEPS = """
ensemble_scheduling {{
  step {{ model_name: "{part}" model_version: 1 input_map {{ key: "a" value: "from_a" }}
    input_map {{ key: "b" value: "from_b" }} output_map {{ key: "probabilities" value: "probabilities" }} }}
  step {{ model_name: "a" model_version: 1 input_map {{ key: "flow" value: "flow" }}
    output_map {{ key: "probabilities" value: "from_a" }} }}
  step {{ model_name: "b" model_version: 1 input_map {{ key: "flow" value: "flow" }}
    output_map {{ key: "probabilities" value: "from_b" }} }}
}}
"""


def _sum_onnx():
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("a", "b", "probabilities")]
    graph = helper.make_graph([helper.make_node("Mean", ["a", "b"], ["probabilities"])], "mean", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _text(name, contract, tensors, rest):
    inputs, outputs = tensors
    lines = [f'name: "{name}"', "max_batch_size: 8", rest]
    lines += [f'input {{ name: "{each}" data_type: TYPE_FP32 dims: {list(dims)} }}' for each, dims in inputs.items()]
    lines += [f'output {{ name: "{each}" data_type: TYPE_FP32 dims: {list(dims)} }}' for each, dims in outputs.items()]
    return "\n".join(
        [*lines, f'parameters {{ key: "contract" value {{ string_value: {json.dumps(json.dumps(contract))} }} }}']
    )


def add_ensemble(maker, tiny, **changes):
    """Models `a` and `b`, and `both`, their mean."""
    maker.add("a")
    maker.add("b", versions={"1": tiny.onnx(seed=1)})
    answers = {"a": [3], "b": [3]}
    part = tiny.contract(PART, recipe="", part_of="both") | {
        "inputs": [{"name": name, "dims": dims} for name, dims in answers.items()],
        "outputs": [{"name": "probabilities", "dims": [3]}],
    }
    maker.add(
        PART,
        config=_text(PART, part, (answers, {"probabilities": [3]}), 'backend: "onnxruntime"'),
        versions={"1": _sum_onnx()},
        labels=None,
        card=None,
    )
    members = [{"name": name, "version": "1", "weight": 1.0} for name in ("a", "b")]
    contract = tiny.contract("both", outputs=[{"name": "probabilities", "dims": [3]}], members=members) | changes
    steps = STEPS.format(part=PART)
    tensors = ({"flow": list(tiny.dims)}, {"probabilities": [3]})
    folder = maker.add("both", config=_text("both", contract, tensors, f'platform: "ensemble"\n{steps}'), versions={})
    (folder / "1").mkdir()
    (folder / "1" / "members.json").write_text("{}")


def _soon():
    return time.monotonic() + 30


async def _opened(maker, tiny):
    predictor = LocalPredictor(ModelRepository(maker.path, [tiny.recipe]))
    await predictor.load()
    return predictor


async def test_both_backends_answer_the_mean(maker, tiny, triton_server_factory):
    """One request of the ensemble is the mean of one to each member, in this process and on the real Triton."""
    add_ensemble(maker, tiny)
    server = triton_server_factory(maker.path)
    local = await _opened(maker, tiny)
    remote = TritonPredictor(server.grpc_address, recipes=[tiny.recipe])
    batch = tiny.batch(19)
    answers = {}
    for predictor in (local, remote):
        assert [info.name for info in await predictor.models()] == ["a", "b", "both"]
        found = {name: await predictor.predict(name, batch, deadline=_soon()) for name in ("a", "b", "both")}
        mean = (found["a"]["probabilities"] + found["b"]["probabilities"]) / 2
        assert set(found["both"]) == {"probabilities"}
        assert np.abs(found["both"]["probabilities"] - mean).max() < 1e-6
        answers[predictor.backend] = found["both"]["probabilities"]
        await predictor.probe("both")
        await predictor.close()
    assert np.abs(answers["local"] - answers["triton"]).max() < 1e-4
    server.stop()


async def test_a_part_is_neither_listed_nor_asked(maker, tiny):
    """The graph that averages belongs to its ensemble."""
    add_ensemble(maker, tiny)
    predictor = await _opened(maker, tiny)
    with pytest.raises(UnknownModel, match=r"there are: a, b, both\)"):
        await predictor.model("nobody")
    with pytest.raises(ModelNotServable, match="as a part of 'both' only"):
        await predictor.predict(PART, {}, deadline=_soon())
    await predictor.close()


async def _reason(maker, tiny):
    predictor = await _opened(maker, tiny)
    info = await predictor.model("both")
    await predictor.close()
    assert not info.servable
    return info.reason


def _without(maker, *path):
    for file in sorted((maker.path.joinpath(*path)).rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    maker.path.joinpath(*path).rmdir()


async def test_a_member_that_is_gone_takes_the_ensemble_with_it(maker, tiny):
    """The reason names the member, also where it is the part that averages."""
    add_ensemble(maker, tiny)
    _without(maker, "b")
    assert await _reason(maker, tiny) == "its member 'b' is not there"
    _without(maker, PART)
    assert await _reason(maker, tiny) in {"its member 'b' is not there", f"its member '{PART}' is not there"}


async def test_a_member_that_does_not_load_takes_the_ensemble_with_it(maker, tiny):
    """A broken file of a member is found when models are loaded, and the ensemble says whose it is."""
    add_ensemble(maker, tiny)
    (maker.path / "b" / "1" / "model.onnx").write_bytes(b"nonsense")
    assert "model 'b' cannot be loaded" in await _reason(maker, tiny)


async def test_another_version_of_a_member_is_not_taken_instead(maker, tiny):
    """An ensemble answers by the versions that it was made of, or not at all."""
    add_ensemble(maker, tiny)
    (maker.path / "a" / "1").rename(maker.path / "a" / "2")
    assert await _reason(maker, tiny) == "its member 'a' has no version 1 (served: 2)"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"recipe": "from_the_future"}, "this gateway has no recipe 'from_the_future'"),
        ({"members": []}, "the contract no members"),
        ({"members": [{"name": "c", "version": "1", "weight": 1.0}]}, "no step of config.pbtxt asks version 1 of 'c'"),
        ({"members": [{"name": "a", "version": "1", "weight": -1.0}]}, "the contract is not valid: members.0.weight"),
        ({"labels": ["x", "y", "z"]}, "labels.txt says"),
    ],
)
async def test_a_contract_that_does_not_fit_is_told(maker, tiny, changes, reason):
    """Members and steps must agree."""
    add_ensemble(maker, tiny, **changes)
    assert reason in await _reason(maker, tiny)


async def test_labels_are_those_of_the_members(maker, tiny):
    """An ensemble whose members name the classes otherwise is not served."""
    add_ensemble(maker, tiny, labels=["x", "y", "z"])
    (maker.path / "both" / "labels.txt").write_text("x\ny\nz\n")
    assert "has the labels negative, positive, surprise" in await _reason(maker, tiny)


async def test_triton_tells_nothing_and_the_files_do(maker, tiny, triton_server_factory):
    """Of an ensemble without a member Triton says no word; the gateway's own copy of the repository has the reason."""
    add_ensemble(maker, tiny)
    _without(maker, "b")
    server = triton_server_factory(maker.path)
    files = ModelRepository(maker.path, [tiny.recipe], backend="triton")
    reasons = []
    for repository in (files, None):
        predictor = TritonPredictor(server.grpc_address, recipes=[tiny.recipe], repository=repository)
        info = await predictor.model("both")
        assert not info.servable
        reasons.append(info.reason)
        await predictor.close()
    assert reasons == ["its member 'b' is not there", "Triton has not loaded it"]
    server.stop()


def _steps():
    text = STEPS.format(part=PART)
    head = 'platform: "ensemble" input { name: "flow" } output { name: "probabilities" }'
    return text_format.Parse(head + text, model_config_pb2.ModelConfig())


def test_steps_run_when_their_inputs_are_there():
    """The order of the file says nothing; what a step needs does."""
    assert [step.model for step in steps_of(_steps())] == ["a", "b", PART]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('key: "flow" value: "flow"', 'key: "flow" value: "nowhere"', "no step of the ensemble makes .*nowhere"),
        ('value: "from_b"', 'value: "from_a"', "there already"),
        ('model_version: 1 input_map { key: "a"', 'model_version: -1 input_map { key: "a"', "names no version"),
        ('output { name: "probabilities" }', 'output { name: "other" }', "no step of the ensemble makes other"),
        ('platform: "ensemble"', 'backend: "onnxruntime"', "the other way round"),
    ],
)
def test_steps_that_cannot_run_are_refused(old, new, message):
    """A tensor that nobody makes or two make, an open version, a missing output, steps without the platform."""
    text = text_format.MessageToString(_steps(), as_one_line=True)
    assert old in text
    with pytest.raises(ValueError, match=message):
        steps_of(text_format.Parse(text.replace(old, new), model_config_pb2.ModelConfig()))


def test_contracts_of_other_models_are_written_as_before(tiny):
    """Models that were published before there were ensembles keep the very text of their contract."""
    text = ModelContract.model_validate(tiny.contract("tiny")).model_dump_json()
    assert "members" not in text
    assert "part_of" not in text
