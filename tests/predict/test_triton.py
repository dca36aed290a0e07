"""Inference by a real Triton."""

import asyncio
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from server.errors import (
    BackendFailed,
    BackendUnavailable,
    DeadlineExceeded,
    ModelNotServable,
    UnknownModel,
)
from server.predict.breaker import Circuits
from server.predict.engine import Gpu
from server.predict.local import LocalPredictor
from server.predict.repository import ModelRepository
from server.predict.retry import Retry
from server.predict.triton import TritonPredictor


def soon(seconds=60.0):
    """A deadline."""
    return time.monotonic() + seconds


def kill_stubs(server):
    """Kill the processes in which Triton's Python backend runs the models."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert children
    for pid in children:
        os.kill(int(pid), signal.SIGKILL)


@pytest.fixture
async def predictor(triton, tiny):
    """A predictor on the Triton that serves the zoo."""
    predictor = TritonPredictor(triton.grpc_address, recipes=[tiny.recipe])
    yield predictor
    await predictor.close()


@pytest.fixture
async def local(zoo, tiny):
    """The same zoo in this process."""
    predictor = LocalPredictor(ModelRepository(zoo, [tiny.recipe]))
    yield predictor
    await predictor.close()


@pytest.mark.parametrize(("model", "version"), [("tiny", None), ("both", None), ("both", "2")])
async def test_both_backends_give_the_same_answer(predictor, local, tiny, model, version):
    """Nineteen samples, more than one batch, give every output within 1e-4 on Triton and in process."""
    inputs = tiny.batch(19)
    remote = await predictor.predict(model, inputs, version=version, deadline=soon())
    here = await local.predict(model, inputs, version=version, deadline=soon())
    assert set(remote) == set(here) == {"probabilities", "embedding"}
    for name, array in remote.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, here[name], atol=1e-4)


async def test_many_calls_at_once_get_their_own_answers(predictor, local, tiny):
    """Requests that Triton gathers into one batch are told apart again."""
    inputs = [tiny.batch(1 + seed % 5, seed=seed) for seed in range(40)]
    answers = await asyncio.gather(*(predictor.predict("tiny", each, deadline=soon()) for each in inputs))
    for each, answer in zip(inputs, answers, strict=True):
        expected = await local.predict("tiny", each, deadline=soon())
        np.testing.assert_allclose(answer["probabilities"], expected["probabilities"], atol=1e-4)


async def test_both_backends_list_the_same_models(predictor, local):
    """Names, versions, servability, recipe and labels agree; Triton's list has the reasons too."""
    await local.load()
    remote, here = await predictor.models(), await local.models()
    assert [info.name for info in remote] == [info.name for info in here]
    listed = {info.name: info for info in remote}
    for info in here:
        if info.servable:
            other = listed[info.name]
            assert (other.versions, other.recipe, other.labels) == (info.versions, info.recipe, info.labels)
            assert other.contract == info.contract
    assert listed["tiny"].backend == "triton"
    assert listed["tiny"].card["provenance"]["network"] == "tiny"
    assert "protobuf" in listed["broken"].reason.lower()
    assert "from_the_future" in listed["foreign"].reason
    assert not listed["broken"].servable
    assert not listed["foreign"].servable


async def test_warm_up_is_taken(predictor, triton):
    """Triton accepts a warm-up for each batch size, and serves the model only after it."""
    config = (await predictor._connected().get_model_config("tiny")).config
    assert [warm.batch_size for warm in config.model_warmup] == [1, 8]
    assert (await predictor.model("tiny")).servable


async def test_cards_come_from_a_repository_that_is_known(triton, zoo, tiny):
    """Where the gateway can read the same repository, the list has the cards, which Triton does not serve."""
    repository = ModelRepository(zoo, [tiny.recipe])
    predictor = TritonPredictor(triton.grpc_address, recipes=[tiny.recipe], repository=repository)
    assert (await predictor.model("tiny")).card == {"title": "Tiny"}
    await predictor.close()


@pytest.mark.parametrize(
    ("model", "version", "error"),
    [
        ("nosuch", None, UnknownModel),
        ("tiny", "9", UnknownModel),
        ("tiny", "x", UnknownModel),
        ("foreign", None, ModelNotServable),
        ("broken", None, ModelNotServable),
    ],
)
async def test_what_cannot_be_asked_for(predictor, tiny, model, version, error):
    """Unknown models and versions, and models that cannot be served, are told apart as in process."""
    with pytest.raises(error):
        await predictor.predict(model, tiny.batch(1), version=version, deadline=soon())


async def test_an_answer_that_is_not_a_number(predictor, tiny):
    """NaN from the network is a failure of the backend, not an answer."""
    with pytest.raises(BackendFailed, match="NaN"):
        await predictor.predict("nan", tiny.batch(1), deadline=soon())


async def test_a_deadline_ends_the_wait(predictor, tiny):
    """A network that needs minutes is left at the deadline, and the next call is served."""
    await predictor.probe("tiny")
    with pytest.raises(DeadlineExceeded) as caught:
        await predictor.predict("brief", tiny.ones(), deadline=soon(0.05))
    assert caught.value.stage == "inference"
    await predictor.predict("tiny", tiny.batch(1), deadline=soon())


async def test_nobody_is_called_after_the_deadline(predictor, tiny):
    """A deadline that has passed costs Triton nothing."""
    with pytest.raises(DeadlineExceeded):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon(-1))


async def test_a_cancelled_call_raises_cancelled_error(predictor, tiny):
    """The caller's cancellation is its own, and the channel stays usable."""
    await predictor.probe("brief")
    call = asyncio.create_task(predictor.predict("brief", tiny.ones(), deadline=soon()))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await predictor.probe("tiny")


async def test_a_dead_process_behind_a_ready_server(triton_server_factory, maker, tiny):
    """When the process that runs a model is killed Triton still calls itself ready; the probe tells."""
    maker.add("tiny")
    server = triton_server_factory(maker.path)
    predictor = TritonPredictor(server.grpc_address, recipes=[tiny.recipe])
    await predictor.probe("tiny")
    kill_stubs(server)
    with pytest.raises(BackendFailed, match=r"failed to run model 'tiny'; try again"):
        await predictor.probe("tiny")
    assert await predictor._connected().is_server_ready()
    assert await predictor._connected().is_model_ready("tiny")
    await predictor.close()
    server.stop()


async def test_killed_and_started_again(triton_server_factory, maker, tiny):
    """A Triton that is killed between two calls costs BackendUnavailable, then the breaker answers in its place, and
    after a restart on the same port calls succeed again over the same channel.
    """
    maker.add("tiny")
    server = triton_server_factory(maker.path)
    now = 0.0
    circuits = Circuits(failures=4, cool_off_s=5.0, clock=lambda: now)
    predictor = TritonPredictor(
        server.grpc_address, recipes=[tiny.recipe], retry=Retry(attempts=2, base_s=0.01), circuits=circuits
    )
    inputs = tiny.batch(3)
    before = await predictor.predict("tiny", inputs, deadline=soon())
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    for is_open in (False, True):
        with pytest.raises(BackendUnavailable, match="does not answer"):
            await predictor.predict("tiny", inputs, deadline=soon())
        assert circuits.connection.is_open is is_open
    with pytest.raises(BackendUnavailable, match="time to recover") as caught:
        await predictor.predict("tiny", inputs, deadline=soon())
    assert caught.value.details["retry_after_s"] == 5.0

    port = int(server.grpc_address.rpartition(":")[2])
    triton_server_factory(maker.path, grpc_port=port)
    now = 5.0
    after = await predictor.predict("tiny", inputs, deadline=soon())
    np.testing.assert_array_equal(before["probabilities"], after["probabilities"])
    assert not circuits.connection.is_open
    await predictor.close()


async def test_a_plan_for_another_gpu_is_not_asked_for(triton_server_factory, maker, tiny):
    """Where the operator says what GPU Triton has, a plan for another one is listed with the reason, loaded or not."""
    engine = {"tensorrt": "10.13.3.9", "compute_capability": "8.6", "workspace_mib": 1024}
    for name in ("loaded", "refused"):
        config = tiny.config(name, tiny.contract(name, engine=engine))
        config.default_model_filename = "model.plan"
        if name == "refused":
            config.backend = "tensorrt"
        folder = maker.add(name, config=config)
        (folder / "1" / "model.onnx").rename(folder / "1" / "model.plan")
    server = triton_server_factory(maker.path)
    repository = ModelRepository(maker.path, [tiny.recipe], backend="triton")

    async def reasons(gpu):
        predictor = TritonPredictor(server.grpc_address, recipes=[tiny.recipe], repository=repository, gpu=gpu)
        infos = {info.name: info for info in await predictor.models()}
        if not infos["loaded"].servable:
            with pytest.raises(ModelNotServable, match="its plan was built"):
                await predictor.predict("loaded", tiny.batch(1), deadline=soon())
        await predictor.close()
        return {name: info.reason for name, info in infos.items()}

    other = await reasons(Gpu("9.0"))
    assert all("built for compute capability 8.6, and the GPU has 9.0" in reason for reason in other.values())
    older = await reasons(Gpu(tensorrt="10.9"))
    assert all("built by TensorRT 10.13.3.9, and Triton has 10.9" in reason for reason in older.values())
    for unknown in (None, Gpu("8.6", "10.13.3")):
        found = await reasons(unknown)
        assert found["loaded"] == ""
        assert "unable to find backend library for backend 'tensorrt'" in found["refused"]
    server.stop()
