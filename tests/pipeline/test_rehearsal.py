"""What a frame of a live stream costs here."""

import pytest

from server.errors import FaceError
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.pipeline import rehearsal


def test_the_drawn_face_is_followed():
    """Every stage of a stream takes it for a face, so that the figure is that of one."""
    cost_s = rehearsal.frame_cost_s(FaceDetector(), FaceLandmarker())
    assert 0 < cost_s < 1


def test_a_picture_without_a_face_gives_no_figure(monkeypatch):
    """Looking for a face costs something else than following one."""
    monkeypatch.setattr(rehearsal, "drawn_face", lambda shift_px: rehearsal.np.full((480, 640), 90, "uint8"))
    with pytest.raises(FaceError, match="not found"):
        rehearsal.frame_cost_s(FaceDetector(), FaceLandmarker())
