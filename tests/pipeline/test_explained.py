"""The model asked again, so that its answers can be explained: within the time, and never at the cost of an answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest

from server.contract import TensorSpec
from server.errors import BackendFailed, DeadlineExceeded
from server.explanation.parts import Occlusion, Part
from server.pipeline.explaining import MOST_BYTES, Occluder
from server.pipeline.jobs import ExplainJob
from server.testing import FakePredictor
from server.types import AnalyzeOptions, EventSample, FlowField
from tests.pipeline.test_clip import _contract, _findings, _Guest, _pipeline, _soon

EXPLAIN = AnalyzeOptions(explain=True)
PARTS = (Part("region", "brow", "both"), Part("action-unit", "AU4", "both"))


def _occluded(*starts: int, missing: tuple[int, ...] = ()):
    """What a worker found, with what explains each movement but those `missing`."""
    found = _findings(*starts)
    inputs = {"flow": np.zeros((1 + len(PARTS) + 4, 3, 28, 28), np.float32)}
    findings = [
        finding if finding.interval.onset_frame in missing else replace(finding, occlusion=Occlusion(PARTS, 2, inputs))
        for finding in found.findings
    ]
    return replace(found, findings=tuple(findings), timings_s={**found.timings_s, "explanation": 1.5})


class _Watching(FakePredictor):
    """Answers, and is surer of what is hidden less: each row of a batch gets less of the first label."""

    async def predict(self, model, inputs, *, version=None, deadline):
        outputs = dict(await super().predict(model, inputs, version=version, deadline=deadline))
        rows = len(outputs["probabilities"])
        outputs["probabilities"][:, 0] = 0.8 - 0.1 * np.arange(rows)
        return outputs


class _Failing(FakePredictor):
    """Answers the first question; every further one fails with `then`."""

    then: Exception = BackendFailed("broken", stage="inference")

    async def predict(self, model, inputs, *, version=None, deadline):
        outputs = await super().predict(model, inputs, version=version, deadline=deadline)
        if len(self.calls) > 1:
            raise self.then
        return outputs


def _attending(contract):
    """The same with a map of attention."""
    outputs = (*contract.outputs, TensorSpec(name="attention", dims=(7, 7)))
    return contract.model_copy(update={"outputs": outputs})


def _codes(report):
    return [warning.code for warning in report.warnings if warning.code.startswith("explain")]


async def test_every_event_is_explained_by_one_question_to_the_model_that_answered():
    """Drops are those of the label of the report, and the time of worker and model is told as one stage."""
    predictor = _Watching([_contract()])
    pipeline, pool, observer = _pipeline(_occluded(3, 20), predictor)
    progress = []
    report = await pipeline.analyze(
        b"x", EXPLAIN, request_id="r", deadline=_soon(), on_progress=lambda step: progress.append(step.stage)
    )
    for event in report.events:
        assert (event.explanation.label, event.explanation.probability) == ("negative", event.confidence)
        assert [(part.name, part.drop) for part in event.explanation.regions] == [("brow", 0.1)]
        assert [(part.name, part.drop) for part in event.explanation.action_units] == [("AU4", 0.2)]
        assert (event.explanation.map.width, event.explanation.map.height) == (2, 2)
    assert [len(call.inputs["flow"]) for call in predictor.calls] == [2, 7, 7]
    assert {call.version for call in predictor.calls} == {"1"}
    assert report.timings_ms["explanation"] >= 1500
    assert "explanation" in [args[0] for name, args, _ in observer.told if name == "observe_stage"]
    assert progress[-1] == "explanation"
    assert _codes(report) == []
    assert time.monotonic() < pool.jobs[0].explain.until < _soon()


async def test_what_the_network_says_it_looked_at_is_told():
    """Where its contract has an output of that."""
    looks = _attending(_contract())
    pipeline, _, _ = _pipeline(_occluded(3), FakePredictor([looks]))
    (event,) = (await pipeline.analyze(b"x", EXPLAIN, request_id="r", deadline=_soon())).events
    assert (event.explanation.attention.width, event.explanation.attention.height) == (32, 32)


async def test_nothing_is_made_or_asked_unless_asked_for():
    """Without the option a worker makes nothing, the model is asked once, and no stage is told."""
    predictor = FakePredictor([_contract()])
    pipeline, pool, _ = _pipeline(_findings(3), predictor)
    report = await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert pool.jobs[0].explain is None
    assert len(predictor.calls) == 1
    assert "explanation" not in report.timings_ms
    assert report.events[0].explanation is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BackendFailed("broken", stage="inference"), "backend-error"),
        (DeadlineExceeded("late", stage="inference"), "time"),
    ],
)
async def test_an_answer_is_not_lost_because_it_cannot_be_explained(error, reason):
    """Where the model fails or is late when it is asked again, the events are reported, with a warning that says why;
    and it is not asked for the next one.
    """
    predictor = _Failing([_contract()])
    predictor.then = error
    pipeline, _, _ = _pipeline(_occluded(3, 20), predictor)
    report = await pipeline.analyze(b"x", EXPLAIN, request_id="r", deadline=_soon())
    assert [event.label for event in report.events] == ["negative", "negative"]
    assert [event.explanation for event in report.events] == [None, None]
    (warning,) = [each for each in report.warnings if each.code == "explain-incomplete"]
    assert warning.message.startswith("2 of 2 events are not explained")
    assert reason in warning.message
    assert len(predictor.calls) == 2


async def test_events_for_which_nothing_could_be_made_are_counted():
    """The others are explained."""
    pipeline, _, _ = _pipeline(_occluded(3, 20, 60, missing=(20,)), _Watching([_contract()]))
    report = await pipeline.analyze(b"x", EXPLAIN, request_id="r", deadline=_soon())
    assert [event.explanation is None for event in report.events] == [False, True, False]
    (warning,) = [each for each in report.warnings if each.code == "explain-incomplete"]
    assert warning.message.startswith("1 of 3 events")


async def test_a_model_that_lives_elsewhere_is_not_asked_again():
    """Each question there may cost money: the report says that there is no explanation, and nothing is made for one."""
    predictor = _Guest([_contract()])
    pipeline, pool, _ = _pipeline(_findings(3), predictor)
    report = await pipeline.analyze(b"x", EXPLAIN, request_id="r", deadline=_soon())
    assert _codes(report) == ["explain-unavailable"]
    assert pool.jobs[0].explain == ExplainJob(None)
    assert len(predictor.calls) == 1


async def test_a_client_that_leaves_ends_the_questions():
    """Cancellation is no failure of the model, and is passed on."""
    predictor = _Failing([_contract()])
    predictor.then = asyncio.CancelledError()
    pipeline, _, _ = _pipeline(_occluded(3), predictor)
    with pytest.raises(asyncio.CancelledError):
        await pipeline.analyze(b"x", EXPLAIN, request_id="r", deadline=_soon())


def _sample() -> EventSample:
    still = np.zeros((256, 256), np.float32)
    course = np.zeros((8, 256, 256), np.float32)
    return EventSample(still, still, np.full((468, 2), 128, np.float32), FlowField(still, still, still), course)


@pytest.mark.parametrize(("movements", "cells", "explained"), [(1, 4, 1), (2, 0, 2), (3, 0, 2)])
def test_a_worker_holds_no_more_than_there_is_room_for(movements, cells, explained):
    """The more movements a clip has, the coarser are their maps; of many, the first are explained, as many as fit."""
    occluder = Occluder(ExplainJob(time.monotonic() + 600), "flow_dual_227", movements)
    made = [each for each in (occluder.make(_sample(), {}) for _ in range(movements)) if each is not None]
    assert (len(made), made[0].cells) == (explained, cells)
    assert sum(array.nbytes for each in made for array in each.inputs.values()) <= MOST_BYTES


def test_a_worker_that_has_no_time_makes_nothing():
    """Nor does one that was not asked."""
    assert Occluder(ExplainJob(time.monotonic() - 1), "flow_uvs_28").make(_sample(), {}) is None
    assert not Occluder(ExplainJob(None), "flow_uvs_28").wanted
    assert not Occluder(None, "flow_uvs_28").wanted
