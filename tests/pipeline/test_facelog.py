"""What is kept of a face while pictures stream by."""

import numpy as np
import pytest

from server.pipeline.facelog import GAP_S, FaceLog
from server.spotting.signal import REGIONS
from server.types import FaceQuality, Frame, TrackedFace

QUALITY = FaceQuality(iod_px=60.0, sharpness=100.0, yaw_deg=0.0, pitch_deg=0.0, roll_deg=0.0, inside=1.0)


@pytest.fixture
def filled():
    """Fills a log with a face that rests, at the given times."""
    rng = np.random.default_rng(0)
    luma = rng.integers(60, 180, (320, 256)).astype(np.uint8)
    landmarks = rng.uniform(60, 200, (468, 2)).astype(np.float32)

    def fill(times_s):
        log = FaceLog(3)
        for index, time_s in enumerate(times_s):
            frame = Frame(10 * index, time_s, luma, lambda: luma)
            log.add(frame, TrackedFace(3, 1, np.eye(2, 3), landmarks, 0.03 if index % 2 else 0.0, QUALITY))
        return log

    return fill


def test_what_is_old_can_be_forgotten(filled):
    """The log of a stream keeps what came since, with the transforms and flags that belong to it."""
    log = filled(np.arange(100) / 30)
    log.forget(2.0)
    assert (len(log), log.first_s) == (40, 2.0)
    assert min(log.frames) == 600
    signal = log.signal()
    assert signal.displacement.shape == (40, len(REGIONS), 2)
    assert signal.unsteady.tolist() == [False, True] * 20
    assert np.array_equal(log.transform_at(990), np.eye(2, 3))
    log.forget(99.0)
    assert (len(log), log.last_s) == (1, pytest.approx(3.3))


def test_the_last_moments_are_a_view_of_their_own(filled):
    """The recent part and the last stretch without a gap are ends of the whole signal; the log goes on growing."""
    times = np.r_[np.arange(30) / 30, 1.5 + np.arange(20) / 30]
    log = filled(times)
    whole, recent, stretch = log.signal(), log.recent(0.3), log.stretch()
    assert recent.times_s.tolist() == times[times >= times[-1] - 0.3].tolist()
    assert stretch.times_s[0] == 1.5
    for part in (recent, stretch):
        count = len(part.times_s)
        assert np.array_equal(part.frames, whole.frames[-count:])
        assert np.array_equal(part.displacement, whole.displacement[-count:])
        assert np.array_equal(part.unsteady, whole.unsteady[-count:])
    assert np.diff(stretch.times_s).max() <= GAP_S
    log.forget(1.0)
    assert len(log) == 20


def test_the_last_frame_says_how_it_is(filled):
    """Motion of each region in x and y, and whether the head turns."""
    log = filled(np.arange(4) / 30)
    assert log.unsteady
    assert len(log.motion()) == len(REGIONS)
    assert log.motion()[-1] == tuple(float(x) for x in log.signal().displacement[-1, -1])
