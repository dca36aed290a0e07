"""Choosing frames of fast cameras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.media.sampling import decimate


@pytest.mark.parametrize(
    ("fps", "max_fps", "step"),
    [(960, 200, 5), (1000, 200, 5), (240, 200, 2), (200, 200, 1), (120, 120, 1), (30, 200, 1), (480, 240, 2)],
)
@pytest.mark.parametrize("rounding_s", [0, 1e-3])
def test_steady_clips_keep_every_nth_frame(fps, max_fps, step, rounding_s):
    """A steady clip is thinned evenly, also where time stamps are rounded to milliseconds."""
    times = np.arange(400) / fps
    if rounding_s:
        times = np.round(times / rounding_s) * rounding_s
    kept = decimate(times, max_fps)
    assert np.mean(np.diff(kept)) == pytest.approx(step, rel=0.12)
    if not rounding_s:
        assert set(np.diff(kept)) == {step}


@given(
    gaps=st.lists(st.floats(1e-5, 0.1), max_size=200),
    max_fps=st.floats(10, 500),
)
def test_kept_frames_are_spaced_and_no_gap_is_made(gaps, max_fps):
    """Kept frames are at least 0.9 spacings apart, and each left-out frame is within that of the last kept one."""
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    kept = decimate(times, max_fps)
    spacing = 0.9 / max_fps
    assert kept[0] == 0
    assert all(np.diff(times[kept]) >= spacing - 1e-12)
    for index in sorted(set(range(len(times))) - set(kept)):
        last = max(position for position in kept if position < index)
        assert times[index] - times[last] < spacing + 1e-12


def test_nothing_is_kept_of_nothing():
    """An empty clip has no frames to keep."""
    assert decimate([], 200) == []
