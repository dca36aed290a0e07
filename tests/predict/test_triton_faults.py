"""What goes wrong between the gateway and Triton, played by a gRPC server that follows a script."""

import asyncio
import re
import socket
import time

import grpc
import numpy as np
import pytest

from server.errors import BackendFailed, BackendUnavailable, DeadlineExceeded, ModelNotServable
from server.predict.breaker import Circuits
from server.predict.retry import Retry, RetryBudget
from server.predict.triton import TritonPredictor
from server.spans import entered
from server.telemetry.otlp import Destination
from server.telemetry.tracing import OtlpTracer
from tests.otlp_sink import sinking


def soon(seconds=60.0):
    """A deadline."""
    return time.monotonic() + seconds


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


class Watch:
    """Keeps what it is told."""

    def __init__(self):
        self.retries, self.circuits = [], []

    def count_retry(self, *, sent):
        self.retries.append(sent)

    def set_circuit(self, target, state):
        self.circuits.append((target, state))

    def set_replicas(self, *, answering, known):
        self.replicas = (answering, known)


async def test_an_outage_is_not_multiplied_by_retries(scripted, connect, tiny):
    """All callers share a budget of retries; once it is spent each call is made once, and what was withheld counts."""
    watch = Watch()
    budget = RetryBudget(share=0.1, per_second=0.0, burst=4)
    predictor = connect(scripted.address, budget=budget, circuits=Circuits(failures=999), watch=watch)
    await predictor.models()
    scripted.script = [grpc.StatusCode.UNAVAILABLE] * 999
    for _ in range(40):
        with pytest.raises(BackendUnavailable):
            await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    # Four at first, then one for each ten calls.
    assert watch.retries.count(True) in {7, 8}
    assert len(scripted.inferences) == 40 + watch.retries.count(True)
    assert watch.retries.count(False) >= 30


async def test_circuits_are_told(scripted, connect, tiny):
    """Opening and closing are told with what they concern."""
    watch = Watch()
    predictor = connect(scripted.address, watch=watch)
    await predictor.models()
    scripted.script = [grpc.StatusCode.DEADLINE_EXCEEDED] * 5
    for _ in range(5):
        with pytest.raises(DeadlineExceeded):
            await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    assert watch.circuits == [("tiny", "open")]
    with pytest.raises(BackendUnavailable, match="model 'tiny' did not answer lately"):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    await predictor.probe("tiny")
    assert watch.circuits == [("tiny", "open"), ("tiny", "closed")]
    await predictor.predict("tiny", tiny.batch(1), deadline=soon())


async def test_a_model_behind_an_open_circuit_is_not_chosen(scripted, connect, tiny):
    """Who asks for it before any work is told at once, although what it is like is known."""
    circuits = Circuits(failures=1)
    predictor = connect(scripted.address, circuits=circuits)
    await predictor.model("tiny")
    circuits.silent("tiny")
    with pytest.raises(BackendUnavailable, match="given time to recover"):
        await predictor.model("tiny")
    await predictor.probe("tiny")
    await predictor.model("tiny")


async def test_what_triton_refuses_for_one_model_concerns_no_other(scripted, connect, tiny):
    """UNAVAILABLE that names the model is an answer of the server."""
    circuits = Circuits(failures=1)
    predictor = connect(scripted.address, circuits=circuits, retry=Retry(attempts=1))
    scripted.says = "Request for 'tiny' is not at ready state"
    scripted.script = [grpc.StatusCode.UNAVAILABLE]
    with pytest.raises(BackendUnavailable):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon())
    assert circuits.closed("tiny")


async def test_a_probe_goes_through_an_open_circuit(scripted, connect, tiny):
    """A server that is back is not kept waiting for the cool-off, also by a gateway that has never seen it."""
    circuits = Circuits(failures=1, cool_off_s=999.0)
    predictor = connect(scripted.address, circuits=circuits)
    circuits.unreachable("")
    with pytest.raises(BackendUnavailable, match="given time to recover"):
        await predictor.model("tiny")
    await predictor.probe("tiny")
    await predictor.predict("tiny", tiny.batch(1), deadline=soon())


async def test_who_waits_for_the_list_does_not_wait_twice(scripted, connect, tiny):
    """Callers that queue behind an unanswered question share its outcome instead of asking one after the other."""
    scripted.mute = True
    predictor = connect(scripted.address, control_timeout_s=0.2)
    outcomes = await asyncio.gather(*(predictor.model("tiny") for _ in range(20)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {BackendUnavailable}
    assert scripted.indexed == 1


async def test_a_model_that_is_being_loaded_may_be_asked_later(scripted, connect, tiny):
    """It is not missing: the caller is told to come back in a moment."""
    scripted.state = "LOADING"
    with pytest.raises(BackendUnavailable, match="'tiny' is being loaded") as caught:
        await connect(scripted.address).predict("tiny", tiny.batch(1), deadline=soon())
    assert caught.value.details["retry_after_s"] == 1.0


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
    circuits = Circuits(failures=1)
    predictor = connect(scripted.address, circuits=circuits)
    await predictor.models()
    scripted.hang = True
    with pytest.raises(DeadlineExceeded):
        await predictor.predict("tiny", tiny.batch(1), deadline=soon(0.1))
    assert circuits.closed("tiny")


async def test_fair_timeouts_open_the_circuit_of_the_model(scripted, connect, tiny):
    """A model that lets a patient caller's deadline pass is left alone, the server and its other models are not."""
    circuits = Circuits(failures=1)
    scripted.script = [grpc.StatusCode.DEADLINE_EXCEEDED]
    with pytest.raises(DeadlineExceeded):
        await connect(scripted.address, circuits=circuits).predict("tiny", tiny.batch(1), deadline=soon())
    assert circuits.of("tiny").is_open
    assert not circuits.connection.is_open
    assert circuits.closed("other")


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


async def test_each_try_is_a_span_whose_trace_goes_to_triton(scripted, connect, tiny):
    """With the status of the call and the retry as an event; what is not traced, and a probe, send no trace."""
    scripted.script = [grpc.StatusCode.UNAVAILABLE]
    predictor = connect(scripted.address)
    with sinking() as sink:
        tracer = OtlpTracer(Destination(sink.address))
        with entered(tracer.request("asked", "", {})) as asked:
            await predictor.predict("tiny", tiny.batch(1), deadline=soon())
            await predictor.probe("tiny")
        await predictor.predict("tiny", tiny.batch(1), deadline=soon())
        await tracer.close()
        calls = [x for x in sink.trace(asked.trace_id) if x.parent]
        events = [event for x in sink.trace(asked.trace_id) for event in x.events]
    assert [x.attributes["rpc.response.status_code"] for x in calls] == ["UNAVAILABLE", "OK"]
    assert {x.parent for x in calls} == {asked.span_id}
    assert scripted.traceparents == [*(f"00-{x.trace}-{x.id}-01" for x in calls), "", ""]
    assert events == [("retry", {"glimpse.retry.sent": True})]
