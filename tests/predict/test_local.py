"""Inference in this process."""

import asyncio
import sys
import threading
import time

import numpy as np
import onnxruntime
import pytest

from server.errors import (
    BackendFailed,
    BackendUnavailable,
    ConfigurationError,
    DeadlineExceeded,
    ModelNotServable,
    UnknownModel,
)
from server.predict.local import LocalPredictor
from server.predict.repository import ModelRepository


def soon(seconds=60.0):
    """A deadline."""
    return time.monotonic() + seconds


@pytest.fixture
async def predictor(zoo, tiny):
    """A predictor on the zoo, on one thread."""
    predictor = LocalPredictor(ModelRepository(zoo, [tiny.recipe]))
    yield predictor
    await predictor.close()


async def test_answers_what_the_network_says(predictor, zoo, tiny):
    """Outputs are those of the ONNX file, float32, one row per sample, rows adding to 1."""
    inputs = tiny.batch(5)
    outputs = await predictor.predict("tiny", inputs, deadline=soon())
    session = onnxruntime.InferenceSession(str(zoo / "tiny" / "1" / "model.onnx"))
    expected = session.run(["probabilities", "embedding"], inputs)
    np.testing.assert_allclose(outputs["probabilities"], expected[0], atol=1e-6)
    np.testing.assert_allclose(outputs["embedding"], expected[1], atol=1e-6)
    assert outputs["probabilities"].dtype == np.float32


async def test_a_batch_above_the_limit_is_split(predictor, tiny):
    """Nineteen samples with a limit of 8 give the same rows as one by one."""
    inputs = tiny.batch(19)
    outputs = await predictor.predict("tiny", inputs, deadline=soon())
    single = [await predictor.predict("tiny", {"flow": inputs["flow"][i : i + 1]}, deadline=soon()) for i in (0, 8, 18)]
    np.testing.assert_allclose(
        outputs["probabilities"][[0, 8, 18]], np.concatenate([one["probabilities"] for one in single]), atol=1e-6
    )
    assert outputs["probabilities"].shape == (19, 3)


async def test_newest_version_unless_asked(predictor, tiny):
    """Version 10 is newer than 2, and each can be asked for."""
    inputs = tiny.batch(1)
    newest, tenth, second = [
        (await predictor.predict("both", inputs, version=version, deadline=soon()))["probabilities"]
        for version in (None, "10", "2")
    ]
    np.testing.assert_array_equal(newest, tenth)
    assert np.abs(tenth - second).max() > 0.01
    assert (await predictor.model("both", "2")).versions == ("2", "10")


async def test_load_lists_what_does_not_load(predictor, tiny):
    """After loading, a file that is no network is listed with the reason, and the others answer."""
    await predictor.load()
    listed = {info.name: info for info in await predictor.models()}
    assert [name for name, info in listed.items() if info.servable] == ["both", "brief", "slow", "tiny"]
    assert "does not run" in listed["broken"].reason
    assert "NaN" in listed["nan"].reason
    with pytest.raises(ModelNotServable, match="does not run"):
        await predictor.predict("broken", tiny.batch(1), deadline=soon())
    await predictor.probe("tiny")


async def test_first_use_of_a_broken_model_says_so(predictor, tiny):
    """Without loading ahead, the first request gets the reason and the list has it from then on."""
    with pytest.raises(ModelNotServable, match="cannot be loaded"):
        await predictor.probe("broken")
    assert not (await predictor.model("broken")).servable


async def test_a_deadline_stops_the_work(predictor, tiny):
    """Past the deadline the call fails, and the only thread is free for the next one although the work had minutes
    to go.
    """
    with pytest.raises(DeadlineExceeded) as caught:
        await predictor.predict("slow", tiny.ones(), deadline=soon(0.2))
    assert caught.value.stage == "inference"
    await predictor.predict("tiny", tiny.batch(1), deadline=soon(20))


async def test_a_cancellation_stops_the_work(predictor, tiny, monkeypatch):
    """A cancelled call raises CancelledError and frees the only thread."""
    await predictor.probe("slow")
    running = threading.Event()
    infer = predictor._infer

    def watched(*arguments):
        running.set()
        return infer(*arguments)

    monkeypatch.setattr(predictor, "_infer", watched)
    call = asyncio.create_task(predictor.predict("slow", tiny.ones(), deadline=soon()))
    assert await asyncio.to_thread(running.wait, 20)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await predictor.predict("tiny", tiny.batch(1), deadline=soon(20))


async def test_a_deadline_that_has_passed(predictor, tiny):
    """Nothing is started for a caller whose time is over."""
    with pytest.raises(DeadlineExceeded):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon(-1))


async def test_the_loop_is_never_blocked(predictor, tiny):
    """While an inference runs, the event loop serves others."""
    call = asyncio.create_task(predictor.predict("slow", tiny.ones(), deadline=soon(0.5)))
    turns = 0
    while not call.done():
        await asyncio.sleep(0)
        turns += 1
    with pytest.raises(DeadlineExceeded):
        await call
    assert turns > 100


@pytest.mark.parametrize(
    ("model", "version", "error"),
    [
        ("nosuch", None, UnknownModel),
        ("tiny", "9", UnknownModel),
        ("tiny", "x", UnknownModel),
        ("foreign", None, ModelNotServable),
    ],
)
async def test_what_cannot_be_asked_for(predictor, tiny, model, version, error):
    """Unknown models and versions, and models without a recipe here, are told apart."""
    with pytest.raises(error):
        await predictor.predict(model, tiny.batch(1), version=version, deadline=soon())


async def test_inputs_are_compared_with_the_contract(predictor):
    """A tensor of another shape is refused before it reaches the network."""
    with pytest.raises(ModelNotServable, match="must be"):
        await predictor.predict("tiny", {"flow": np.zeros((1, 3, 8, 9), np.float32)}, deadline=soon())


async def test_an_error_while_running(maker, tiny):
    """A network that loads and warms but fails on real input is a failure of the backend."""
    maker.add("late", versions={"1": tiny.onnx(late_nan=True)})
    predictor = LocalPredictor(ModelRepository(maker.path, [tiny.recipe]))
    await predictor.load()
    with pytest.raises(BackendFailed, match="NaN"):
        await predictor.predict("late", tiny.ones(), deadline=soon())
    await predictor.close()


async def test_closed(predictor, tiny):
    """After closing, calls fail as they do with a server that is gone, and closing again is harmless."""
    await predictor.close()
    with pytest.raises(BackendUnavailable):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon())


def test_without_onnx_runtime(monkeypatch, zoo, tiny):
    """Where ONNX Runtime is not installed the error names the extras that bring it."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigurationError, match=r"'runtime'.*'gpu'"):
        LocalPredictor(ModelRepository(zoo, [tiny.recipe]))


def test_a_provider_that_is_not_there(zoo, tiny):
    """A provider that this build lacks is refused at the start, not silently replaced by the processor."""
    with pytest.raises(ConfigurationError, match="NoSuchProvider"):
        LocalPredictor(ModelRepository(zoo, [tiny.recipe]), providers=["NoSuchProvider"])


async def test_a_plan_is_listed_with_what_it_needs(maker, tiny):
    """A TensorRT plan is not run in process: the list and the error say what it needs."""
    maker.add("tiny")
    engine = {"tensorrt": "10.13.3.9", "compute_capability": "8.6", "workspace_mib": 1024}
    config = tiny.config("plan", tiny.contract("plan", engine=engine))
    config.default_model_filename = "model.plan"
    folder = maker.add("plan", config=config)
    (folder / "1" / "model.onnx").rename(folder / "1" / "model.plan")
    predictor = LocalPredictor(ModelRepository(maker.path, [tiny.recipe]))
    await predictor.load()
    assert (await predictor.model("plan")).reason == "a TensorRT plan needs Triton with a GPU"
    assert (await predictor.model("tiny")).servable
    with pytest.raises(ModelNotServable, match="needs Triton with a GPU"):
        await predictor.predict("plan", tiny.batch(1), deadline=soon())
    await predictor.close()
