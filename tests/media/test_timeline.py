"""Time stamps to seconds."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.media.timeline import Timeline

TICKS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-50, 50))


@given(stamps=st.lists(TICKS, max_size=40), gap=st.integers(0, 1000))
def test_times_always_increase(stamps, gap):
    """Whatever the container says, times start at 0 and increase strictly, and the rest is counted as skipped."""
    timeline = Timeline(Fraction(1, 1000), gap)
    placed = [timeline.place(stamp) for stamp in stamps]
    times = [time for time in placed if time is not None]
    assert times[:1] in ([], [0.0])
    assert [timeline.ticks(index) for index in range(len(timeline))] == sorted(
        {timeline.ticks(index) for index in range(len(timeline))}
    )
    assert timeline.skipped + len(timeline) == len(stamps)
    assert timeline.duration_s >= 0


def test_missing_time_stamps_follow_the_stated_rate():
    """A frame without a time stamp comes one nominal gap after the one before."""
    timeline = Timeline(Fraction(1, 1000), 40)
    assert [timeline.place(stamp) for stamp in (None, None, 90, None, 170)] == [0, 0.04, 0.09, 0.13, 0.17]


def test_frames_that_do_not_come_later_are_skipped():
    """Of two pictures at one instant the first stays."""
    timeline = Timeline(Fraction(1, 25), 1)
    assert [timeline.place(stamp) for stamp in (0, 1, 1, 0, 2)] == [0, 0.04, None, None, 0.08]
    assert timeline.skipped == 2


def test_gap_and_duration():
    """The gap is the median, and the last frame lasts as long as it says, else one gap."""
    timeline = Timeline(Fraction(1, 1000), 1)
    for stamp in (0, 10, 20, 30, 500):
        timeline.place(stamp)
    assert timeline.gap_s == pytest.approx(0.01)
    assert timeline.duration_s == pytest.approx(0.51)
    timeline.place(600, duration=200)
    assert timeline.duration_s == pytest.approx(0.8)


def test_entries_and_lookup():
    """Frames are found by time stamp, and the entry before a frame by its index."""
    timeline = Timeline(Fraction(1, 10), 1)
    for stamp in range(10):
        timeline.place(7 + 2 * stamp, entry=stamp in (0, 4))
    assert (timeline.index(7), timeline.index(25), timeline.index(8), timeline.index(None)) == (0, 9, None, None)
    assert [timeline.entry_before(index) for index in (0, 3, 4, 9)] == [0, 0, 4, 4]
