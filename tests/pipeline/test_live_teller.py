"""Steps of movements to what clients are told."""

from __future__ import annotations

import pytest

from server.errors import BackendUnavailable
from server.pipeline.live_teller import Teller
from server.predict.base import StandIn
from server.streams import Candidate, LiveEvent, Onset, Withdrawn
from server.telemetry.metrics import Metrics
from server.types import Evidence, ReportWarning
from tests.pipeline.conftest import told


@pytest.fixture
def teller(predictor, served):
    return Teller(predictor, served, Metrics(), inference_s=5.0)


async def test_a_movement_is_told_in_three_steps(teller, predictor):
    """Its number, face, times and frames, twice, then the event that a clip would have had, for which alone a model is
    asked.
    """
    onset, candidate = [await teller.tell(told(step, 7)) for step in ("onset", "candidate")]
    assert onset == Onset(7, 1, 1.0, 10)
    assert candidate == Candidate(7, 1, 1.0, 1.2, 10, 15)
    assert predictor.calls == []
    event = await teller.tell(told("event", 7))
    assert isinstance(event, LiveEvent)
    assert (event.movement, event.event.offset_frame, event.event.kind) == (7, 20, "micro")
    assert event.event.label == "negative"
    assert len(predictor.calls) == 1


async def test_a_backend_that_fails_withdraws(teller, predictor):
    """Without a class there is no event; the next one is asked for again."""
    predictor.error = BackendUnavailable("down")
    assert await teller.tell(told("event")) == Withdrawn(1, 1, "not-classified")
    predictor.error = None
    assert isinstance(await teller.tell(told("event", 2)), LiveEvent)


async def test_who_stood_in_is_remembered(teller, predictor, served):
    """From the first event that another backend answered, the statistics of the stream name that one."""
    answer = predictor.predict

    async def stand_in(*arguments, **named):
        outputs = await answer(*arguments, **named)
        return StandIn(outputs, "local", ReportWarning("fallback", "x"))

    await teller.tell(told("event"))
    assert teller.served.reference == served.reference
    predictor.predict = stand_in
    assert isinstance(await teller.tell(told("event", 2)), LiveEvent)
    assert teller.served.reference.backend == "local"


async def test_an_answer_made_of_noise_is_withheld(teller):
    """Where nothing moved between onset and apex the event abstains."""
    event = await teller.tell(told("event", still=True, evidence=Evidence("poor")))
    assert event.event.abstained
    assert not (await teller.tell(told("event", 2))).event.abstained


async def test_withdrawals_have_their_reason(teller):
    """Each says why."""
    withdrawn = await teller.tell(told("withdrawn", reason="face-lost"))
    assert withdrawn == Withdrawn(1, 1, "face-lost")
