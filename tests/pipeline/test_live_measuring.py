"""Movements of a stream, measured beside it: which, when, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest

from server.errors import FaceLost
from server.faces.pair import AlignedSet
from server.pipeline.event_frames import EventFrames
from server.pipeline.frame_store import Excerpt
from server.pipeline.live_measuring import LiveMeasuring, Sample, at_once, beside
from server.pipeline.measure import Measured, Movement, StageClock
from server.types import FaceQuality
from tests.pipeline.conftest import INTERVAL, LIMITS, Held

QUALITY = FaceQuality(120.0, 40.0, 0.0, 0.0, 0.0, 1.0)
ALIGNED = AlignedSet(None, (), np.zeros((468, 2), np.float32), (0.001,), QUALITY)


class Measurer:
    """Answers with the interval that it was given, or raises `error`; spends a second of every clock."""

    def __init__(self):
        self.asked = []
        self.error = None

    def movement(self, plan, pictures, wanted, fps, clock):
        self.asked.append(plan.interval)
        clock.seconds["flow"] += 1.0
        if self.error is not None:
            raise self.error
        return Movement.of(Measured(ALIGNED, None, {"flow": plan.interval.apex_s}, {}), plan.interval, fps)


@pytest.fixture
def measurer():
    return Measurer()


@pytest.fixture
def held():
    return Held()


@pytest.fixture
def measuring(measurer, held):
    return LiveMeasuring(measurer, ("flow_uvs_28", "accurate"), StageClock(), held)


def _sample(interval=INTERVAL, fps=100.0):
    plan = EventFrames(SimpleNamespace(track_id=1), interval, [10], [15], [], [], [], [], np.eye(2, 3))
    return Sample(plan, Excerpt({}, LIMITS), fps)


def _later(apex_s):
    return replace(INTERVAL, apex_s=INTERVAL.apex_s + apex_s)


def _consider(measuring, movement=1, interval=INTERVAL):
    measuring.consider(movement, interval, lambda: _sample(interval))


def test_what_was_measured_while_it_went_on_is_told_at_once(measuring, measurer, held):
    """An event that is like what was measured needs no more than its own bounds, which its evidence is of."""
    _consider(measuring)
    held.go_on()
    _consider(measuring)
    measuring.end(1, _sample(replace(_later(0.01), score=0.1, offset_s=1.6)))
    (ended,) = measuring.ended()
    assert measurer.asked == [INTERVAL]
    assert ended.measured.interval.offset_s == 1.6
    assert "barely stands out" in str(ended.measured.evidence.reasons)
    assert len(measuring) == 0


def test_an_event_waits_for_its_measurement(measuring, held):
    """It is told with the first question after it has come."""
    _consider(measuring)
    measuring.end(1, _sample())
    assert measuring.ended() == []
    held.go_on()
    assert [each.movement for each in measuring.ended()] == [1]
    assert measuring.ended() == []


@pytest.mark.parametrize(
    ("fps", "moved_s", "times"), [(200, 0.019, 1), (200, 0.021, 2), (30, 0.049, 1), (30, 0.051, 2)]
)
def test_an_apex_that_moves_on_is_measured_again(measuring, measurer, held, fps, moved_s, times):
    """Beyond 1.5 frames and 20 ms it is another moment."""
    for interval in (INTERVAL, _later(moved_s)):
        measuring.consider(1, interval, lambda interval=interval: _sample(interval, fps))
        if held.waiting:
            held.go_on()
    assert len(measurer.asked) == times


def test_one_is_measured_at_a_time_and_what_is_over_first(measuring, measurer, held):
    """While a movement is measured no other is, and one that goes on waits for all that are over."""
    _consider(measuring)
    _consider(measuring, 2, _later(1.0))
    assert len(held.waiting) == 1
    measuring.end(3, _sample(_later(2.0)))
    held.go_on()
    assert measuring.ended() == []
    _consider(measuring, 2, _later(1.0))
    held.go_on()
    assert [each.movement for each in measuring.ended()] == [3]
    _consider(measuring, 2, _later(1.0))
    held.go_on()
    assert measurer.asked == [INTERVAL, _later(2.0), _later(1.0)]


def test_an_event_that_is_measured_passes_one_that_is_not(measuring, held):
    """Movements do not wait for each other."""
    _consider(measuring)
    held.go_on()
    measuring.end(2, _sample(_later(1.0)))
    assert measuring.ended() == []
    measuring.end(1, _sample())
    assert [each.movement for each in measuring.ended()] == [1]
    held.go_on()
    assert [each.movement for each in measuring.ended()] == [2]


def test_what_failed_on_its_way_is_tried_once_more(measuring, measurer, held):
    """The event has other pictures; only where they fail too is it without an answer."""
    measurer.error = FaceLost("turned away")
    _consider(measuring)
    held.go_on()
    _consider(measuring)
    assert held.waiting == []
    for movement, error in ((1, None), (2, measurer.error)):
        measurer.error = error
        measuring.end(movement, _sample())
        assert measuring.ended() == []
        held.go_on()
        (ended,) = measuring.ended()
        assert (ended.measured is None) == (error is not None)


def test_what_is_withdrawn_leaves_nothing_behind(measuring, held):
    """What runs comes to its end, unheard, before the next one."""
    _consider(measuring)
    measuring.forget(1)
    _consider(measuring, 2, _later(1.0))
    assert len(held.waiting) == 1
    held.go_on()
    assert measuring.ended() == []
    assert len(measuring) == 0
    _consider(measuring, 2, _later(1.0))
    assert len(held.waiting) == 1


@pytest.mark.parametrize("error", [KeyError("defect"), MemoryError()])
def test_defects_are_raised_in_the_stream(measuring, measurer, held, error):
    """Also where nobody wants the movement any more: a worker without memory must say so."""
    measurer.error = error
    _consider(measuring)
    measuring.forget(1)
    held.go_on()
    with pytest.raises(type(error)):
        measuring.ended()


def test_at_the_end_of_the_stream_all_of_it_is_waited_for(measurer):
    """In threads, one after the other, each on its own clock that is then added to that of the stream."""
    clock = StageClock()
    measuring = LiveMeasuring(measurer, ("flow_uvs_28", "accurate"), clock, beside)
    for movement in (1, 2, 3):
        measuring.end(movement, _sample(_later(movement)))
    assert [each.movement for each in measuring.ended(wait=True)] == [1, 2, 3]
    assert clock.seconds == {"flow": 3.0}


def test_too_much_that_is_over_is_waited_for(measurer):
    """Each holds pictures, so that a stream of more movements than can be measured waits for all but a few."""
    measuring = LiveMeasuring(measurer, ("flow_uvs_28", "accurate"), StageClock(), beside)
    for movement in range(20):
        measuring.end(movement, _sample(_later(movement)))
    assert len(measuring.ended()) >= 16
    assert len(measuring) <= 4


def test_a_stream_goes_on_while_it_is_measured():
    """What is begun beside the stream runs while the stream goes on; at once is before it goes on."""
    go_on = Event()
    future = beside(lambda: go_on.wait(60))
    assert not future.done()
    go_on.set()
    assert future.result(60) is True
    assert at_once(lambda: 5).done()
