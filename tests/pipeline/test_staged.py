"""What workers tell of their time becomes spans, whatever they tell."""

import math

import pytest

from server.pipeline.jobs import StageTime
from server.pipeline.measure import StageClock
from server.pipeline.staged import stage_events, stage_spans
from server.spans import NO_SPAN
from server.types import Progress


class Recorded:
    """A span that keeps its children and events."""

    def __init__(self, name, began=0.0):
        self.name, self.began, self.ended = name, began, None
        self.children, self.events, self.attributes = [], [], {}

    def child(self, name, attributes, *, began):
        """Keep one."""
        self.children.append(Recorded(name, began))
        self.children[-1].attributes = attributes
        return self.children[-1]

    def event(self, name, attributes):
        """Keep one."""
        self.events.append((name, attributes))

    def end(self, ended):
        """Keep when."""
        self.ended = ended


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ((11.0, 12.0, 0.5), (11.0, 12.0, 0.5)),
        ((1.0, 99.0, 98.0), (10.0, 20.0, 10.0)),
        ((12.0, 11.0, 5.0), (12.0, 12.0, 0.0)),
        ((30.0, 40.0, 1.0), (20.0, 20.0, 0.0)),
        ((-math.inf, math.inf, math.inf), (10.0, 20.0, 10.0)),
        ((math.nan, math.nan, math.nan), (10.0, 10.0, 0.0)),
    ],
)
def test_no_time_lies_outside_of_the_job(told, shown):
    """A worker that was taken over may claim anything: it is cut to what the gateway saw."""
    work = Recorded("worker")
    stage_spans(work, [StageTime("flow", "", *told)], sent=10.0, answered=20.0)
    [span] = work.children
    assert (span.began, span.ended, span.attributes["glimpse.busy_s"]) == shown


def test_names_that_are_none_of_ours_are_left_out():
    """Whatever comes as the name of a stage or of a part, and however many come."""
    work = Recorded("worker")
    forged = [StageTime("words", "", 11, 12, 1), StageTime("flow", "words", 11, 12, 1)]
    stage_spans(work, [*forged, *[StageTime("faces", "", 11, 12, 1)] * 100], sent=10.0, answered=20.0)
    assert {span.name for span in work.children} == {"flow", "faces"}
    assert len(work.children) <= 32
    told = stage_events(work, None)
    told(Progress("words", 0, 1))
    told(Progress("faces", 0, 1))
    told(Progress("faces", 1, 1))
    assert work.events == [("stage", {"glimpse.stage": "faces"})]


def test_stages_lie_in_their_part():
    """What is timed while a part lasts is below it, with the time that it took of it."""
    clock = StageClock()
    with clock.part("first pass"):
        for _ in range(3):
            with clock.time("decode"):
                pass
    with clock.time("spotting"):
        pass
    work = Recorded("worker")
    stage_spans(work, clock.timeline, sent=0.0, answered=math.inf)
    first, spotting = work.children
    assert (first.name, spotting.name) == ("first pass", "spotting")
    [decode] = first.children
    assert first.began <= decode.began <= decode.ended <= first.ended <= spotting.began
    assert clock.seconds["decode"] == pytest.approx(decode.attributes["glimpse.busy_s"])


def test_without_a_trace_nothing_is_made():
    """Progress is handed on as it is."""
    stage_spans(NO_SPAN, [StageTime("flow", "", 1, 2, 1)], sent=0.0, answered=3.0)

    def follow(_):
        """Somebody who follows."""

    assert stage_events(NO_SPAN, follow) is follow
