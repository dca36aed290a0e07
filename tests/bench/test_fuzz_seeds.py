"""Media that are mutated."""

import os

from bench.fuzz import seeds


def test_encoders_leave_no_priority_behind():
    """One of them takes real-time priority where it may, which processes that are started later would inherit."""
    before = os.sched_getscheduler(0)
    assert seeds.clips().keys() >= {"av1.mp4", "h264.mp4"}
    assert os.sched_getscheduler(0) == before
