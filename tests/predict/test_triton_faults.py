"""What goes wrong between the gateway and Triton, played by a gRPC server that follows a script."""

import asyncio
import re
import socket
import time

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from server.errors import BackendFailed, BackendUnavailable, DeadlineExceeded, ModelNotServable
from server.predict.breaker import CircuitBreaker
from server.predict.triton import Retry, TritonPredictor


def soon(seconds=60.0):
    """A deadline."""
    return time.monotonic() + seconds


class ScriptedTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Has the tiny model in the versions of `versions`; each inference follows the next step of `script`, a status
    code or what to change in a good response, and then answers well. `hang` makes inferences wait.
    """

    def __init__(self, tiny):
        self.tiny = tiny
        self.versions = ["1"]
        self.script = []
        self.hang = False
        self.inferences = []
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.indexed = 0

    async def RepositoryIndex(self, _request, _context):
        """The index."""
        self.indexed += 1
        answer = service_pb2.RepositoryIndexResponse()
        for version in self.versions:
            answer.models.add(name="tiny", version=version, state="READY")
        return answer

    async def ModelConfig(self, request, _context):
        """The configuration."""
        return service_pb2.ModelConfigResponse(config=self.tiny.config(request.name, self.tiny.contract(request.name)))

    async def ModelInfer(self, request, context):
        """One inference."""
        self.inferences.append((request.model_version, context.time_remaining()))
        self.started.set()
        if self.hang:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if request.model_version not in self.versions:
            await context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'tiny' version is not found")
        step = self.script.pop(0) if self.script else {}
        if isinstance(step, grpc.StatusCode):
            await context.abort(step, "scripted\nsecond line")
        size = request.inputs[0].shape[0]
        arrays = {"probabilities": np.full((size, 3), 1 / 3), "embedding": np.zeros((size, 4))} | step
        answer = service_pb2.ModelInferResponse(model_name="tiny", model_version="1")
        for name, array in arrays.items():
            raw = array if isinstance(array, bytes) else array.astype("<f4").tobytes()
            shape = (size, 3) if isinstance(array, bytes) else array.shape
            answer.outputs.add(name=name, datatype="FP32", shape=shape)
            answer.raw_output_contents.append(raw)
        return answer


@pytest.fixture
async def replicas(tiny):
    """Two scripted servers, each with its `address` and `server`."""
    servicers = [ScriptedTriton(tiny), ScriptedTriton(tiny)]
    for servicer in servicers:
        servicer.server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, servicer.server)
        servicer.address = f"127.0.0.1:{servicer.server.add_insecure_port('127.0.0.1:0')}"
        await servicer.server.start()
    yield servicers
    for servicer in servicers:
        await servicer.server.stop(grace=None)


@pytest.fixture
async def scripted(replicas):
    """One scripted server."""
    return replicas[0]


@pytest.fixture
async def connect(tiny):
    """Makes predictors and closes them."""
    made = []

    def make(address, **options):
        options = {"retry": Retry(attempts=3, base_s=0.001)} | options
        made.append(TritonPredictor(address, recipes=[tiny.recipe], **options))
        return made[-1]

    yield make
    for predictor in made:
        await predictor.close()


async def test_unavailable_is_tried_again(scripted, connect, tiny):
    """Two failures to reach a server are invisible to the caller when the third try succeeds."""
    scripted.script = [grpc.StatusCode.UNAVAILABLE] * 2
    await connect(scripted.address).predict("tiny", tiny.batch(1), deadline=soon())
    assert len(scripted.inferences) == 3


async def test_tries_are_bounded(scripted, connect, tiny):
    """After the last try the caller is told, and there is no fourth."""
    scripted.script = [grpc.StatusCode.UNAVAILABLE] * 9
    with pytest.raises(BackendUnavailable):
        await connect(scripted.address).predict("tiny", tiny.batch(1), deadline=soon())
    assert len(scripted.inferences) == 3


async def test_no_second_try_that_would_pass_the_deadline(scripted, connect, tiny, monkeypatch):
    """Where the pause would end after the deadline the error comes at once instead."""
    monkeypatch.setattr(Retry, "pause_s", lambda _self, _failed: 3600.0)
    scripted.script = [grpc.StatusCode.UNAVAILABLE]
    with pytest.raises(BackendUnavailable):
        await connect(scripted.address).predict("tiny", tiny.batch(1), deadline=soon())
    assert len(scripted.inferences) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (grpc.StatusCode.INTERNAL, BackendFailed),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, BackendFailed),
        (grpc.StatusCode.INVALID_ARGUMENT, ModelNotServable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
    ],
)
async def test_other_failures_are_not_tried_again(scripted, connect, tiny, status, error):
    """An error that is an answer is handed on after one call, in its first line."""
    scripted.script = [status]
    with pytest.raises(error) as caught:
        await connect(scripted.address).predict("tiny", tiny.batch(1), deadline=soon())
    assert len(scripted.inferences) == 1
    assert "second line" not in str(caught.value)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"probabilities": b""}, "numpy 1"),
        ({"probabilities": b"1234"}, "4 bytes"),
        ({"embedding": np.zeros((1, 5))}, r"\[1, 5\]"),
        ({"probabilities": np.full((1, 3), np.nan)}, "NaN"),
    ],
)
async def test_status_ok_is_not_yet_an_answer(scripted, connect, tiny, step, says, caplog):
    """Outputs that are empty, cut, of another shape or not numbers are failures, with their cause told or logged."""
    scripted.script = [step]
    with pytest.raises(BackendFailed, match="no usable answer") as caught:
        await connect(scripted.address).predict("tiny", tiny.batch(1), deadline=soon())
    assert re.search(says, caught.value.message + caplog.text)


async def test_triton_is_told_the_deadline(scripted, connect, tiny):
    """The server sees how much time the caller has left, and the caller the stage that used it up."""
    scripted.hang = True
    with pytest.raises(DeadlineExceeded) as caught:
        await connect(scripted.address).predict("tiny", tiny.batch(1), deadline=soon(0.3))
    assert caught.value.stage == "inference"
    assert 0.0 < scripted.inferences[0][1] <= 0.3
    await asyncio.wait_for(scripted.cancelled.wait(), 20)


async def test_triton_is_told_of_a_cancellation(scripted, connect, tiny):
    """A caller that leaves cancels the inference in the server."""
    scripted.hang = True
    call = asyncio.create_task(connect(scripted.address).predict("tiny", tiny.batch(1), deadline=soon()))
    await asyncio.wait_for(scripted.started.wait(), 20)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(scripted.cancelled.wait(), 20)


async def test_closing_ends_calls_in_flight(scripted, connect, tiny):
    """Callers whose channel is closed get an error of the backend, not a cancellation that nobody asked for."""
    scripted.hang = True
    predictor = connect(scripted.address)
    call = asyncio.create_task(predictor.predict("tiny", tiny.batch(1), deadline=soon()))
    await asyncio.wait_for(scripted.started.wait(), 20)
    await predictor.close()
    with pytest.raises(BackendUnavailable, match="closed"):
        await call
    with pytest.raises(BackendUnavailable, match="closed"):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon())


async def test_hurried_callers_do_not_open_the_breaker(scripted, connect, tiny):
    """Timeouts of callers who had next to no time left say nothing about the server."""
    breaker = CircuitBreaker(failures=1)
    predictor = connect(scripted.address, breaker=breaker)
    await predictor.models()
    scripted.hang = True
    with pytest.raises(DeadlineExceeded):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon(0.1))
    assert not breaker.is_open


async def test_fair_timeouts_open_the_breaker(scripted, connect, tiny):
    """A server that lets a patient caller's deadline pass counts as gone."""
    breaker = CircuitBreaker(failures=1)
    scripted.script = [grpc.StatusCode.DEADLINE_EXCEEDED]
    with pytest.raises(DeadlineExceeded):
        await connect(scripted.address, breaker=breaker).predict("tiny", tiny.batch(1), deadline=soon())
    assert breaker.is_open


async def test_a_replaced_version_is_found(scripted, connect, tiny):
    """When the newest version was replaced since the list was fetched, the call goes to its successor."""
    predictor = connect(scripted.address)
    await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    scripted.versions = ["2"]
    predictor._fetched_at -= 2.0
    await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    assert [version for version, _ in scripted.inferences] == ["1", "1", "2"]


async def test_the_list_is_kept_for_a_while(scripted, connect, tiny):
    """Inferences do not ask each time what Triton has, callers of `models` always get the present state."""
    predictor = connect(scripted.address)
    for _ in range(3):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    assert scripted.indexed == 1
    await predictor.models()
    assert scripted.indexed == 2


async def test_versions_are_ordered_by_number(scripted, connect, tiny):
    """Version 10 is newer than version 9, and answers."""
    scripted.versions = ["10", "9"]
    predictor = connect(scripted.address)
    assert (await predictor.model("tiny")).versions == ("9", "10")
    await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    assert scripted.inferences[0][0] == "10"


async def test_replicas_share_the_calls_and_stand_in_for_each_other(replicas, connect, tiny):
    """Behind one name calls go to both servers in turn, and to the living one when the other is gone."""
    predictor = connect(f"ipv4:{replicas[0].address},{replicas[1].address}")
    while not all(replica.inferences for replica in replicas):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    await replicas[0].server.stop(grace=None)
    served = len(replicas[1].inferences)
    for _ in range(4):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    assert len(replicas[1].inferences) == served + 4


async def test_nobody_listens(connect, tiny):
    """An address where nothing listens is reported at once, long before the deadline of a day."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        predictor = connect(f"127.0.0.1:{held.getsockname()[1]}")
        with pytest.raises(BackendUnavailable):
            await predictor.predict("tiny", tiny.batch(1), deadline=soon(86_400))
        with pytest.raises(BackendUnavailable):
            await predictor.models()
        with pytest.raises(BackendUnavailable):
            await predictor.probe("tiny")
