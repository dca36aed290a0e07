"""What is kept of a face while pictures stream by."""

import numpy as np
import pytest

from server.pipeline.facelog import GAP_S, FaceLog
from server.pipeline.pacing import Look
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
            log.add(Look(frame), TrackedFace(3, 1, np.eye(2, 3), landmarks, 0.03 if index % 2 else 0.0, QUALITY))
        return log

    return fill


@pytest.fixture
def moved():
    """Looks at a face whose alignment shifts by 1 px in each frame, at `looks`; every frame between is skipped."""
    luma = np.random.default_rng(0).integers(60, 180, (320, 256)).astype(np.uint8)
    landmarks = np.random.default_rng(1).uniform(60, 200, (468, 2)).astype(np.float32)

    def run(looks, unsteady=()):
        log, after = FaceLog(3), -1
        for index in looks:
            skipped = tuple((each, each / 200) for each in range(after + 1, index)) if after >= 0 else ()
            transform = np.array([[1.0, 0.0, index], [0.0, 1.0, 0.0]])
            frame = Frame(index, index / 200, luma, lambda: luma)
            residual = 0.03 if index in unsteady else 0.0
            log.add(Look(frame, skipped, after), TrackedFace(3, 1, transform, landmarks, residual, QUALITY))
            after = index
        return log

    return run


def test_frames_that_were_skipped_lie_between_those_that_were_looked_at(moved):
    """Each frame has its place in the log; where it was not looked at, the face was on its way between two looks."""
    log = moved([0, 2, 6])
    signal = log.signal()
    assert signal.frames.tolist() == list(range(7))
    assert [log.transform_at(each)[0, 2] for each in range(7)] == pytest.approx(range(7))
    assert signal.displacement[1] == pytest.approx((signal.displacement[0] + signal.displacement[2]) / 2)
    assert np.abs(signal.displacement[2]).max() > 0


def test_skipped_frames_beside_an_unsteady_one_are_in_doubt(moved):
    """What lies between a look in doubt and another says nothing of expressions either."""
    assert moved([0, 2, 4, 6], unsteady={2}).signal().unsteady.tolist() == [
        False,
        True,
        True,
        True,
        False,
        False,
        False,
    ]


def test_frames_skipped_while_the_face_was_away_are_not_in_its_log(moved):
    """Between two looks of which only the second shows the face nobody knows where it was."""
    log = moved([0, 2])
    frame = Frame(6, 0.03, np.zeros((320, 256), np.uint8), lambda: None)
    face = TrackedFace(3, 1, np.eye(2, 3), np.full((468, 2), 100, np.float32), 0.0, QUALITY)
    log.add(Look(frame, ((5, 0.025),), 4), face)
    assert log.signal().frames.tolist() == [0, 1, 2, 6]


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
