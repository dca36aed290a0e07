"""Steps of movements to what clients are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.errors import BackendUnavailable
from server.pipeline.live_teller import Teller
from server.streams import Candidate, LiveEvent, Onset, Withdrawn
from server.telemetry.metrics import Metrics
from server.types import Evidence
from tests.pipeline.conftest import INTERVAL, told


@pytest.fixture
def teller(predictor, served):
    return Teller(predictor, served, Metrics(), inference_s=5.0)


async def test_a_movement_is_told_in_three_steps(teller, predictor):
    """Its number, face, times and frames, then a prediction, then the event that a clip would have had."""
    onset, candidate, event = [await teller.tell(told(step, 7)) for step in ("onset", "candidate", "event")]
    assert onset == Onset(7, 1, 1.0, 10)
    assert isinstance(candidate, Candidate)
    assert (candidate.onset_s, candidate.apex_s, candidate.onset_frame, candidate.apex_frame) == (1.0, 1.2, 10, 15)
    assert candidate.prediction.label == "negative"
    assert isinstance(event, LiveEvent)
    assert (event.movement, event.event.offset_frame, event.event.kind) == (7, 20, "micro")
    assert event.event.probabilities == candidate.prediction.probabilities
    assert len(predictor.calls) == 2


async def test_what_was_measured_once_is_asked_once(teller, predictor):
    """An event on the pictures of its candidate has the candidate's prediction."""
    await teller.tell(told("candidate"))
    event = await teller.tell(told("event", inputs=None))
    assert isinstance(event, LiveEvent)
    assert len(predictor.calls) == 1


async def test_a_backend_that_comes_back_is_asked_again(teller, predictor):
    """A candidate that could not be classified is an event all the same, if the backend answers by then."""
    predictor.error = BackendUnavailable("down")
    candidate = await teller.tell(told("candidate"))
    assert candidate.prediction is None
    predictor.error = None
    assert isinstance(await teller.tell(told("event", inputs=None)), LiveEvent)


async def test_a_backend_that_stays_away_withdraws(teller, predictor):
    """Without a class there is no event."""
    predictor.error = BackendUnavailable("down")
    await teller.tell(told("candidate"))
    assert await teller.tell(told("event", inputs=None)) == Withdrawn(1, 1, "not-classified")


async def test_an_answer_made_of_noise_is_withheld(teller):
    """Where nothing moved between onset and apex the event abstains."""
    event = await teller.tell(told("event", still=True, evidence=Evidence("poor")))
    assert event.event.abstained
    assert not (await teller.tell(told("event", 2))).event.abstained


async def test_a_candidate_that_was_not_measured_has_no_prediction(teller, predictor):
    """A model of the whole movement is asked once the movement is over."""
    candidate = await teller.tell(told("candidate", inputs=None, contraction=None, evidence=None))
    assert (candidate.evidence, candidate.prediction) == (None, None)
    assert predictor.calls == []
    assert isinstance(await teller.tell(told("event")), LiveEvent)


async def test_withdrawals_have_their_reason(teller):
    """Each says why."""
    withdrawn = await teller.tell(told("withdrawn", reason="face-lost"))
    assert withdrawn == Withdrawn(1, 1, "face-lost")


async def test_nothing_is_kept_of_movements_that_ended(teller):
    """Events and withdrawals leave no tensors behind, however many there were."""
    for movement in range(50):
        await teller.tell(told("onset", movement))
        await teller.tell(told("candidate", movement))
        await teller.tell(told(("event", "withdrawn")[movement % 2], movement))
    assert (teller._measured, teller._predictions) == ({}, {})


async def test_moments_that_moved_are_measured_anew(teller, predictor):
    """New tensors at the event replace those of the candidate."""
    await teller.tell(told("candidate"))
    event = await teller.tell(replace(told("event"), interval=replace(INTERVAL, apex_s=1.25)))
    assert event.event.apex_s == 1.25
    assert len(predictor.calls) == 2
