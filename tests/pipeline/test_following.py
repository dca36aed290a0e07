"""When the anchor of a face that is followed is taken anew."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.pipeline.following import Following
from server.pipeline.measure import StageClock
from server.types import Frame
from tests.end_to_end.conftest import SAMPLES, decode

FPS = 8


@pytest.fixture(scope="module")
def face():
    """A picture of a face at rest, RGB."""
    return decode(Path(SAMPLES / "positive.mp4"))[0]


@pytest.fixture(scope="module")
def follow():
    """Follows one face through pictures, and tells the anchors, displacement and turn of each."""
    networks = FaceDetector(), FaceLandmarker()

    def run(pictures):
        following = Following(*networks, StageClock(), most=1, thorough=False)
        anchors = []
        for index, rgb in enumerate(pictures):
            luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
            (seen,) = following.update(Frame(index, index / FPS, luma, lambda rgb=rgb: rgb))
            anchors.append(seen.anchor_id)
        return anchors, following.logs[1].signal()

    return run


def _askew(rgb):
    """The face as of a head that is turned: what lies to the sides is elsewhere, and the middle is not."""
    height, width = rgb.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(rgb, x - 0.12 * np.abs(x - width / 2), y, cv2.INTER_LINEAR)


def test_an_old_anchor_is_renewed_at_rest(face, follow):
    """A quiet face gets a new anchor after ten seconds and not before, and its signal does not jump."""
    anchors, signal = follow([face] * (11 * FPS))
    assert set(anchors[: 10 * FPS]) == {1}
    assert anchors[-1] == 2
    assert np.abs(signal.displacement).max() < 0.002


def test_an_anchor_of_a_turned_head_is_renewed_when_it_is_back(face, follow):
    """A face that was first seen askew is looked at anew a second later, when it has been at rest for half a second."""
    turned = _askew(face)
    anchors, _ = follow([turned] * FPS + [face] * (3 * FPS))
    assert set(anchors[:FPS]) == {1}
    assert anchors[-1] == 2


def test_an_anchor_that_fits_is_kept(face, follow):
    """A face at rest keeps its anchor, and so does one that moves about in the picture."""
    shifted = [np.roll(face, (index % 5, -index % 7), axis=(0, 1)) for index in range(4 * FPS)]
    anchors, signal = follow(shifted)
    assert set(anchors) == {1}
    assert np.abs(signal.displacement).max() < 0.01
    assert np.abs(signal.turn).max() < 0.05
