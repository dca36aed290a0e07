"""Each way in which a real Triton fails, what the caller gets, and how the same predictor recovers.

The documented answers are in docs/failures.md.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from server.errors import BackendFailed, BackendUnavailable, DeadlineExceeded, ModelNotServable
from server.predict.breaker import Circuits
from server.predict.local import LocalPredictor
from server.predict.repository import ModelRepository
from server.predict.retry import Retry
from server.predict.triton import TritonPredictor

SMALL_MEMORY = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
MOUNT = "mount -t tmpfs -o size=4m tmpfs /dev/shm"


def soon(seconds=30.0):
    """A deadline."""
    return time.monotonic() + seconds


def stub_of(server, model):
    """The process in which Triton's Python backend runs a model."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    (stub,) = [int(pid) for pid in children if f"/{model}/" in Path(f"/proc/{pid}/cmdline").read_text()]
    return stub


class Lives:
    """A Triton that is started again on its port where it has ended.

    The Python backend of 2.51 aborts now and then (boost::interprocess::lock_exception) when it goes on after having
    stood still, so what stood still may have to be started anew.
    """

    def __init__(self, start):
        self._start = start
        self.now = start(grpc_port=0)

    @contextlib.contextmanager
    def frozen(self):
        """Neither the server nor its models get processor time."""
        os.killpg(self.now.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.now.pid, signal.SIGCONT)

    def revive(self):
        """Start it where it has ended."""
        if os.waitid(os.P_PID, self.now.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            port = int(self.now.grpc_address.rpartition(":")[2])
            self.now.stop()
            self.now = self._start(grpc_port=port)


@pytest.fixture(scope="module")
def repository(tmp_path_factory, tiny, repository_maker):
    """Models that answer, take long, and answer in other shapes than their configuration says."""
    maker = repository_maker(tmp_path_factory.mktemp("failing"))
    maker.add("tiny")
    maker.add("changing")
    maker.add("mortal")
    maker.add("brief", versions={"1": tiny.onnx(rounds=20_000)})
    maker.add("wide", versions={"1": tiny.onnx(classes=4)})
    return maker.path


@pytest.fixture(scope="module")
def lives(triton_server_factory, repository):
    """One Triton for all that does not end it on purpose."""
    return Lives(partial(triton_server_factory, repository, control_mode="explicit"))


@pytest.fixture
def server(lives):
    """It lives."""
    lives.revive()
    return lives.now


@pytest.fixture
async def connect(tiny):
    """Makes predictors and closes them."""
    made = []

    def make(server, **options):
        options = {"retry": Retry(attempts=2, base_s=0.01)} | options
        made.append(TritonPredictor(server.grpc_address, recipes=[tiny.recipe], **options))
        return made[-1]

    yield make
    for predictor in made:
        await predictor.close()


async def answered(predictor, tiny, model="tiny", lives=None):
    """Probe as the service does until the model answers, then ask it."""
    async with asyncio.timeout(60):
        while True:
            if lives is not None:
                lives.revive()
            with contextlib.suppress(BackendUnavailable, BackendFailed, DeadlineExceeded):
                await predictor.probe(model)
                break
    return await predictor.predict(model, tiny.batch(2), deadline=soon())


async def test_killed_while_it_works_and_while_it_does_not(triton_server_factory, maker, tiny, connect):
    """Calls in flight and calls after it end as unavailable at once; when it is back the same predictor answers, at
    the first probe that reaches it, whatever pause the circuit had left.
    """
    maker.add("tiny")
    maker.add("brief", versions={"1": tiny.onnx(rounds=5_000)})
    server = triton_server_factory(maker.path)
    circuits = Circuits(failures=2, cool_off_s=3600.0)
    predictor = connect(server, circuits=circuits)
    before = await predictor.predict("tiny", tiny.batch(2), deadline=soon())
    working = asyncio.create_task(predictor.predict("brief", tiny.ones(), deadline=soon()))
    await predictor.probe("tiny")
    os.killpg(server.pid, signal.SIGKILL)
    server.stop()
    with pytest.raises(BackendUnavailable):
        await working
    with pytest.raises(BackendUnavailable):
        await predictor.predict("tiny", tiny.batch(2), deadline=soon())
    with pytest.raises(BackendUnavailable, match="given time to recover") as caught:
        await predictor.predict("tiny", tiny.batch(2), deadline=soon())
    assert caught.value.details["retry_after_s"] > 3000
    again = triton_server_factory(maker.path, grpc_port=int(server.grpc_address.rpartition(":")[2]))
    after = await answered(predictor, tiny)
    np.testing.assert_array_equal(before["probabilities"], after["probabilities"])
    assert circuits.closed("tiny")
    os.killpg(again.pid, signal.SIGKILL)
    again.stop()


async def test_hung(server, lives, connect, tiny):
    """A server that stands still costs each caller its own deadline, told as that of inference, until the circuit of
    the model is open; who only asks what there is, is told that it does not say. When it goes on, so does everything.
    """
    circuits = Circuits(failures=3, cool_off_s=3600.0)
    predictor = connect(server, circuits=circuits, control_timeout_s=1.0)
    await predictor.predict("tiny", tiny.batch(2), deadline=soon())
    with lives.frozen():
        late = [predictor.predict("tiny", tiny.batch(2), deadline=soon(1.1)) for _ in range(3)]
        outcomes = await asyncio.gather(*late, predictor.models(), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [DeadlineExceeded] * 3 + [BackendUnavailable]
        assert {outcome.stage for outcome in outcomes} == {"inference"}
        with pytest.raises(BackendUnavailable, match="model 'tiny' did not answer lately"):
            await predictor.predict("tiny", tiny.batch(2), deadline=soon())
        with pytest.raises(DeadlineExceeded):
            await predictor.probe("tiny")
    await answered(predictor, tiny, lives=lives)


async def test_slow_by_fits_and_starts(server, lives, connect, tiny):
    """A server that stands still for a moment now and then costs time and gives the right answer; should it end by
    that, it is unavailable like any other, and answers again when it was started again.
    """
    predictor = connect(server)
    expected = await predictor.predict("tiny", tiny.batch(2), deadline=soon())
    for _ in range(5):
        with lives.frozen():
            call = asyncio.create_task(predictor.predict("tiny", tiny.batch(2), deadline=soon()))
            await asyncio.wait({call}, timeout=0.05)
        try:
            answer = await call
        except (BackendUnavailable, BackendFailed):
            answer = await answered(predictor, tiny, lives=lives)
        np.testing.assert_array_equal(answer["probabilities"], expected["probabilities"])


async def test_a_slow_model_is_left_alone_and_the_others_are_not(server, lives, connect, tiny):
    """Its circuit opens after some callers' deadlines, while another model of the same server answers all along.

    Where Triton, short of processor time, takes a model's process for dead meanwhile and starts it anew, it is tried
    again.
    """
    outcomes = {BackendFailed}
    async with asyncio.timeout(120):
        while outcomes == {BackendFailed}:
            await answered(connect(server), tiny, "brief", lives=lives)
            circuits = Circuits(failures=1, cool_off_s=3600.0)
            predictor = connect(server, circuits=circuits)
            await predictor.predict("tiny", tiny.batch(1), deadline=soon())
            calls = [predictor.predict("brief", tiny.ones(), deadline=soon(1.05)) for _ in range(2)]
            waiting = [asyncio.create_task(call) for call in calls]
            answers = 0
            while not all(call.done() for call in waiting):
                await predictor.predict("tiny", tiny.batch(1), deadline=soon())
                answers += 1
            assert answers > 0
            outcomes = {type(outcome) for outcome in await asyncio.gather(*waiting, return_exceptions=True)}
    assert DeadlineExceeded in outcomes
    assert not circuits.closed("brief")
    assert circuits.closed("tiny")
    with pytest.raises(BackendUnavailable, match="model 'brief' did not answer lately"):
        await predictor.predict("brief", tiny.batch(1), deadline=soon())
    await answered(predictor, tiny, "brief")


async def test_other_shapes_than_the_contract(server, connect, tiny, caplog):
    """An answer of another shape is no answer: the caller gets a failure, the log the shape, and the circuit, which is
    about servers that do not answer, stays closed.
    """
    circuits = Circuits(failures=1)
    predictor = connect(server, circuits=circuits)
    for size in (1, 5):
        with pytest.raises(BackendFailed, match="no usable answer"):
            await predictor.predict("wide", tiny.batch(size), deadline=soon())
    with pytest.raises(BackendFailed, match=r"\[1, 4\], not float32 \[1, 3\]"):
        await predictor.probe("wide")
    assert circuits.closed("wide")


async def test_a_model_is_replaced_under_load(server, connect, tiny, repository):
    """While versions come and go every request is answered, by the old version or by the new one."""
    folder, versions = repository / "changing", {"1": tiny.onnx(), "2": tiny.onnx(seed=2), "3": tiny.onnx(seed=3)}
    inputs, known = tiny.batch(2), []
    for number, graph in versions.items():
        (folder / number).mkdir(exist_ok=True)
        (folder / number / "model.onnx").write_bytes(graph)
        local = LocalPredictor(ModelRepository(repository, [tiny.recipe]))
        known.append((await local.predict("changing", inputs, deadline=soon()))["probabilities"])
        await local.close()
    for number in ("2", "3"):
        shutil.move(folder / number, repository.parent / f"changing-{number}")
    predictor, client = connect(server), connect(server)._connected()
    over, answers = asyncio.Event(), []

    async def ask():
        while not over.is_set():
            answers.append((await predictor.predict("changing", inputs, deadline=soon()))["probabilities"])

    async with asyncio.TaskGroup() as callers:
        for _ in range(4):
            callers.create_task(ask())
        for number in ("2", "3"):
            shutil.move(repository.parent / f"changing-{number}", folder / number)
            await client.load_model("changing")
            loaded = len(answers)
            while len(answers) < loaded + 8:
                await client.is_server_live()
        over.set()
    which = [min(range(3), key=lambda i: np.abs(answer - known[i]).max()) for answer in answers]
    assert all(np.abs(answer - known[i]).max() < 1e-4 for answer, i in zip(answers, which, strict=True))
    assert set(which) >= {0, 2}
    assert which[-1] == 2


async def test_a_model_is_taken_away_and_comes_back(server, connect, tiny):
    """Without it the request cannot be served, and says why; when it is loaded again the same predictor finds it."""
    predictor, client = connect(server), connect(server)._connected()
    await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    await client.unload_model("tiny")
    with pytest.raises((ModelNotServable, BackendUnavailable)):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    await client.load_model("tiny")
    predictor._fetched_at -= 2.0
    await predictor.predict("tiny", tiny.batch(1), deadline=soon())


async def test_a_dead_stub_behind_a_ready_server(server, connect, tiny):
    """Requests for the model fail at once with a failure of the backend, those for others are answered, although
    Triton calls all of them ready; loading the model again brings it back without a restart.
    """
    predictor = connect(server)
    client = predictor._connected()
    await predictor.predict("mortal", tiny.batch(1), deadline=soon())
    os.kill(stub_of(server, "mortal"), signal.SIGKILL)
    with pytest.raises(BackendFailed, match="failed to run model 'mortal'"):
        await predictor.predict("mortal", tiny.batch(1), deadline=soon())
    with pytest.raises(BackendFailed):
        await predictor.probe("mortal")
    assert await client.is_model_ready("mortal")
    await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    await client.unload_model("mortal")
    await client.load_model("mortal")
    await answered(predictor, tiny, "mortal")


async def test_out_of_shared_memory(triton_server_factory, maker, tiny, connect):
    """A batch that does not fit into the shared memory of Triton's container fails alone, with the cause in the log;
    what fits is answered before and after, and the circuit stays closed.
    """
    if subprocess.run([*SMALL_MEMORY, MOUNT], check=False, capture_output=True).returncode:  # noqa: ASYNC221
        pytest.skip("this machine lets nobody mount a small /dev/shm (unshare --user --mount)")
    config = tiny.config("tiny", tiny.contract("tiny"), largest=4096)
    del config.model_warmup[:]
    maker.add("tiny", config=config)
    server = triton_server_factory(maker.path, launcher=(*SMALL_MEMORY, f'{MOUNT} && exec "$@"', "sh"))
    circuits = Circuits(failures=1)
    predictor = connect(server, circuits=circuits)
    await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    with pytest.raises(BackendFailed, match="failed to run model 'tiny'"):
        await predictor.predict("tiny", tiny.batch(4096), deadline=soon())
    await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    assert circuits.closed("tiny")
    os.killpg(server.pid, signal.SIGKILL)
    server.stop()
