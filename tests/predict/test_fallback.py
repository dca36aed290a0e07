"""The local copy of a model in place of a backend that does not answer."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest

from server.contract import ModelContract, Provenance, TensorSpec
from server.errors import (
    BackendFailed,
    BackendUnavailable,
    DeadlineExceeded,
    ModelNotServable,
    UnknownModel,
)
from server.predict.base import StandIn
from server.predict.fallback import FallbackPredictor
from server.spans import entered
from server.telemetry.otlp import Destination
from server.telemetry.tracing import OtlpTracer
from server.testing import FakePredictor
from tests.otlp_sink import sinking

INPUTS = {"flow": np.zeros((2, 3, 8, 8), np.float32)}
DOWN = BackendUnavailable("the inference server does not answer", stage="inference")


def contract(name="net", weights="abc"):
    """A model's contract; `weights` is the hash of its checkpoint."""
    return ModelContract(
        name=name,
        recipe="flow_uvs_28",
        inputs=(TensorSpec(name="flow", dims=(3, 8, 8)),),
        outputs=(TensorSpec(name="probabilities", dims=(3,)),),
        labels=("negative", "positive", "surprise"),
        provenance=Provenance(
            network="net", source="trained", command="x", training_data="none", weights_sha256=weights
        ),
    )


class Slow(FakePredictor):
    """Never answers, and says at which deadline it was asked."""

    async def predict(self, model, inputs, *, version=None, deadline):
        """Wait for the deadline."""
        self.calls.append(deadline)
        async with asyncio.timeout_at(deadline):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise DeadlineExceeded("late", stage="inference") from None


class Watch:
    """Keeps what it is told."""

    def __init__(self):
        self.fallbacks = []

    def count_fallback(self, model, reason):
        """One."""
        self.fallbacks.append((model, reason))


@pytest.fixture
def main():
    """The backend."""
    return FakePredictor([contract(), contract("other")], backend="triton")


@pytest.fixture
def local():
    """The copy: the same model, and another that was trained anew."""
    return FakePredictor([contract(), contract("other", weights="new")], backend="local")


@pytest.fixture
def watch():
    """Who counts."""
    return Watch()


@pytest.fixture
def both(main, local, watch):
    """One in place of the other."""
    return FallbackPredictor(main, local, patience_s=10.0, concurrency=2, watch=watch)


def soon(seconds=60.0):
    """A deadline."""
    return time.monotonic() + seconds


async def test_a_trace_says_that_the_copy_answered(both, main):
    """As an event of what was asked, with the reason."""
    await both.model("net")
    main.error = DOWN
    with sinking() as sink:
        tracer = OtlpTracer(Destination(sink.address))
        with entered(tracer.request("asked", "", {})):
            await both.predict("net", INPUTS, deadline=soon())
        await tracer.close()
        [seen] = sink.spans
    assert seen.events == [("fallback", {"glimpse.fallback.reason": "unavailable"})]


async def test_while_the_backend_answers_nothing_changes(both, local, watch):
    """Its answer is handed on, and nobody else is asked."""
    await both.model("net")
    outputs = await both.predict("net", INPUTS, deadline=soon())
    assert not isinstance(outputs, StandIn)
    assert both.backend == "triton"
    assert (local.calls, watch.fallbacks) == ([], [])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DOWN, "unavailable"),
        (BackendFailed("its process died", stage="inference"), "failed"),
        (DeadlineExceeded("late", stage="inference"), "deadline"),
    ],
)
async def test_the_same_model_answers_from_the_local_repository(both, main, watch, error, reason):
    """It says so itself, with the reason, and is counted by it."""
    info = await both.model("net")
    main.error = error
    outputs = await both.predict("net", INPUTS, version="1", deadline=soon())
    assert outputs["probabilities"].shape == (2, 3)
    assert outputs.backend == "local"
    assert outputs.warning.code == "fallback"
    assert error.message in outputs.warning.message
    assert watch.fallbacks == [("net", reason)]
    if not isinstance(error, DeadlineExceeded):
        assert await both.model("net") == info


@pytest.mark.parametrize("error", [ModelNotServable("misfit"), UnknownModel("gone")])
async def test_an_error_of_the_request_is_answered_nowhere_else(both, main, watch, error):
    """What the model cannot do its copy cannot either."""
    await both.model("net")
    main.error = error
    with pytest.raises(type(error)):
        await both.predict("net", INPUTS, deadline=soon())
    assert watch.fallbacks == []


async def test_another_checkpoint_never_stands_in(both, main, watch):
    """A local model of the same name with other weights gives no answer; the caller gets the backend's error."""
    await both.model("other")
    main.error = DOWN
    with pytest.raises(BackendUnavailable, match="does not answer"):
        await both.predict("other", INPUTS, deadline=soon())
    with pytest.raises(BackendUnavailable):
        await both.model("other")
    with pytest.raises(BackendUnavailable):
        await both.probe("other")
    assert watch.fallbacks == []


async def test_another_version_never_stands_in(both, main):
    """One that the local repository lacks."""
    await both.model("net")
    main.error = DOWN
    for question in (both.model("net", "2"), both.predict("net", INPUTS, version="2", deadline=soon())):
        with pytest.raises(BackendUnavailable):
            await question


async def test_what_the_backend_was_never_seen_to_serve_cannot_be_compared(both, main, watch):
    """A gateway that starts while the backend is down refuses, as without a copy."""
    main.error = DOWN
    for question in (
        both.model("net"),
        both.models(),
        both.probe("net"),
        both.predict("net", INPUTS, deadline=soon()),
    ):
        with pytest.raises(BackendUnavailable):
            await question
    assert watch.fallbacks == []


async def test_the_backend_does_not_spend_the_whole_deadline(local, watch):
    """Half of what is left, and never more than the patience; the rest is for the copy."""
    main = Slow([contract()], backend="triton")
    both = FallbackPredictor(main, local, patience_s=0.2, concurrency=2, watch=watch)
    await both.model("net")
    for seconds in (0.2, 100.0):
        deadline = soon(seconds)
        await both.predict("net", INPUTS, deadline=deadline)
        assert main.calls[-1] <= deadline - 0.4 * seconds
        assert local.calls[-1].deadline == deadline
    assert main.calls[-1] < deadline - 99.0
    assert watch.fallbacks == [("net", "deadline")] * 2


async def test_a_backend_that_does_not_describe_a_model_is_not_waited_for(main, local):
    """What it last said holds; where it never said anything that is an error of the backend."""
    both = FallbackPredictor(main, local, patience_s=0.05, concurrency=2)
    info = await both.model("net")

    async def silence(*_):
        await asyncio.Event().wait()

    main.model = silence
    assert await both.model("net") == info
    with pytest.raises(BackendUnavailable, match="did not describe model 'other' in time"):
        await both.model("other")


async def test_only_so_many_stand_in_at_a_time(both, main, local, watch):
    """One more gets the error of the backend at once instead of waiting for a processor."""
    await both.model("net")
    main.error = DOWN
    answer, gate, inside = local.predict, asyncio.Event(), asyncio.Semaphore(0)

    async def held(*arguments, **named):
        inside.release()
        await gate.wait()
        return await answer(*arguments, **named)

    local.predict = held
    calls = [asyncio.create_task(both.predict("net", INPUTS, deadline=soon())) for _ in range(2)]
    for _ in calls:
        await inside.acquire()
    with pytest.raises(BackendUnavailable):
        await both.predict("net", INPUTS, deadline=soon())
    gate.set()
    assert [type(answer) for answer in await asyncio.gather(*calls)] == [StandIn, StandIn]
    assert len(watch.fallbacks) == 2


async def test_a_copy_that_fails_leaves_the_error_of_the_backend(both, main, local):
    """Which is what the operator must know of; only time that is up is told as such."""
    await both.model("net")
    main.error = DOWN
    local.error = BackendFailed("the copy is broken")
    with pytest.raises(BackendUnavailable, match="does not answer"):
        await both.predict("net", INPUTS, deadline=soon())
    with pytest.raises(BackendUnavailable, match="does not answer"):
        await both.probe("net")
    local.error = None
    with pytest.raises(DeadlineExceeded):
        await both.predict("net", INPUTS, deadline=soon(-1.0))


async def test_ready_with_a_remark(both, main):
    """The service answers, so it is ready; who answers is said."""
    assert await both.probe("net") == ""
    main.error = DOWN
    said = await both.probe("net")
    assert said == "the local copy answers in place of triton: the inference server does not answer"


async def test_while_the_backend_is_away_what_the_copy_can_answer_is_listed(both, main):
    """The models that are the same on both sides."""
    assert [info.name for info in await both.models()] == ["net", "other"]
    main.error = DOWN
    assert [info.name for info in await both.models()] == ["net"]


async def test_a_model_that_the_backend_gives_up_is_forgotten(both, main):
    """Nothing stands in for what is no longer served."""
    info = await both.model("net")
    known = main.model

    async def withdrawn(*_):
        return replace(info, servable=False, reason="withdrawn")

    main.model = withdrawn
    assert not (await both.model("net")).servable
    main.model, main.error = known, DOWN
    with pytest.raises(BackendUnavailable):
        await both.model("net")


async def test_both_are_closed(both, main, local):
    """Connections here, sessions there."""
    await both.close()
    assert main.closed
    assert local.closed
