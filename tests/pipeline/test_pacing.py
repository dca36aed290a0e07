"""Which pictures of a camera are looked at, and what of those between."""

import numpy as np
import pytest

from server.pipeline.pacing import Pacing
from server.types import Frame


def _frame(index, time_s, value=0):
    luma = np.full((4, 4), value, np.uint8)
    return Frame(index, time_s, luma, lambda: luma)


def _looks(times_s):
    pacing = Pacing()
    return [look for index, time_s in enumerate(times_s) if (look := pacing.take(_frame(index, time_s)))]


@pytest.mark.parametrize(("fps", "looks_hz"), [(25, 25), (60, 60), (120, 120), (125, 125), (200, 100), (240, 120)])
def test_every_picture_is_looked_at_up_to_a_rate(fps, looks_hz):
    """Faster cameras are looked at as often as no expression needs more, at even pauses."""
    looks = _looks(np.arange(fps) / fps)
    assert len(looks) == looks_hz
    assert np.ptp(np.diff([look.frame.time_s for look in looks])) < 1e-9


def test_a_clock_that_trembles_skips_nothing_of_a_slow_camera():
    """At 120 pictures per second with clocks that err by a twentieth of the pause, each is looked at."""
    times_s = np.arange(240) / 120 + np.random.default_rng(0).uniform(-0.0002, 0.0002, 240)
    assert len(_looks(times_s)) == 240


def test_what_was_skipped_is_told_with_the_next_look():
    """Nothing is lost of the order: each index and time is in one look."""
    looks = _looks(np.arange(10) / 400)
    told = [(*(index for index, _ in look.skipped), look.frame.index) for look in looks]
    assert [index for each in told for index in each] == list(range(told[-1][-1] + 1))
    assert [look.after for look in looks[1:]] == [look.frame.index for look in looks[:-1]]


def test_a_look_sees_the_mean_of_what_it_stands_for():
    """Three pictures of 10, 20 and 60 are looked at as one of 30; the next look begins anew."""
    pacing = Pacing()
    pacing.take(_frame(0, 0.0, 255))
    assert pacing.take(_frame(1, 0.003, 10)) is None
    assert pacing.take(_frame(2, 0.006, 20)) is None
    look = pacing.take(_frame(3, 0.009, 60))
    assert look.frame.luma == pytest.approx(30)
    assert pacing.take(_frame(4, 0.020, 90)).frame.luma == pytest.approx(90)


def test_a_stream_that_is_behind_looks_at_every_second_picture():
    """Each as it is, not as a mean with the one before it, which is told with it."""
    pacing = Pacing()
    looks = [pacing.take(_frame(index, index / 25, 10 * index), behind=index < 4) for index in range(6)]
    assert [None if look is None else (look.skipped, look.frame.index) for look in looks] == [
        None, (((0, 0.0),), 1), None, (((2, 0.08),), 3), ((), 4), ((), 5),
    ]  # fmt: skip
    assert [float(look.frame.luma.mean()) for look in looks if look] == pytest.approx([10, 30, 40, 50])


def test_a_fast_camera_is_not_thinned_twice():
    """Of 200 pictures per second every second one is looked at, whether the stream is behind or not."""
    pacing = Pacing()
    looks = [pacing.take(_frame(index, index / 200), behind=index > 9) for index in range(40)]
    assert [index for index, look in enumerate(looks) if look] == list(range(0, 40, 2))


def test_another_scene_is_looked_at_at_once():
    """After `forget` nothing of the pictures before is in what is seen."""
    pacing = Pacing()
    pacing.take(_frame(0, 0.0, 255))
    pacing.take(_frame(1, 0.003, 255))
    pacing.forget()
    look = pacing.take(_frame(2, 0.006, 7))
    assert (look.skipped, look.after) == ((), -1)
    assert look.frame.luma == pytest.approx(7)
