"""Placing the mesh."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from server.faces.align import apply, crop_transform, eye_centres
from server.faces.detect import Detection, FaceDetector
from server.faces.find import find_faces
from server.faces.landmarks import FaceLandmarker


def test_the_mesh_lies_on_the_face(detector: FaceDetector, landmarker: FaceLandmarker, studio: Any) -> None:
    """Eyes, nose tip and mouth of the portrait are met within 3 px of a 100 px face."""
    face = landmarker.landmarks(studio.head, detector.detect(studio.head)[0])
    assert face is not None
    assert face.landmarks.shape == (468, 2)
    assert face.landmarks.dtype == np.float32
    assert face.score > 0.9
    np.testing.assert_allclose(eye_centres(face.landmarks), [(204, 101.5), (246.5, 104)], atol=3)
    np.testing.assert_allclose(face.landmarks[13:15].mean(axis=0), (223, 146), atol=3)


@pytest.mark.parametrize("angle_deg", [-30, 0, 25])
def test_the_mesh_turns_with_the_head(
    detector: FaceDetector, landmarker: FaceLandmarker, studio: Any, make_head: Any, angle_deg: float
) -> None:
    """The mesh of a leaning head is the upright head's, turned: within 3 % of the eye distance on average."""
    upright = landmarker.landmarks(studio.head, detector.detect(studio.head)[0])
    head = make_head(studio.head, 320, 240, 80, np.radians(angle_deg))
    rgb = studio.shoot([head]).rgb()
    face = landmarker.landmarks(rgb, detector.detect(rgb)[0])
    assert face is not None
    assert upright is not None
    off = np.linalg.norm(face.landmarks - apply(head.truth, upright.landmarks), axis=1)
    assert off.mean() < 0.03 * 80


def test_three_ways_lead_to_one_mesh(detector: FaceDetector, landmarker: FaceLandmarker, studio: Any) -> None:
    """From a detection, from earlier landmarks and from a transform, the same face comes out."""
    first = landmarker.landmarks(studio.head, detector.detect(studio.head)[0])
    assert first is not None
    near = landmarker.landmarks_near(studio.head, first.landmarks + np.float32(4))
    placed = landmarker.landmarks_at(studio.head, crop_transform(first.landmarks))
    for other in (near, placed):
        assert other is not None
        assert np.linalg.norm(other.landmarks - first.landmarks, axis=1).mean() < 1.5


def test_where_no_face_is_there_is_no_mesh(landmarker: FaceLandmarker, studio: Any) -> None:
    """A wall, or a box without extent, has no face."""
    wall = studio.background(640, 480)
    points = np.array([[100, 100], [150, 100], [125, 130], [125, 150], [90, 110], [160, 110]], np.float32)
    assert landmarker.landmarks(wall, Detection((80, 60, 180, 160), points, 0.9)) is None
    assert landmarker.landmarks(wall, Detection((80, 60, 80, 60), points, 0.9)) is None


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_a_face_is_found_the_right_way_up(
    detector: FaceDetector, landmarker: FaceLandmarker, studio: Any, quarter_turns: int
) -> None:
    """Turned by any number of quarters, upside down too, the mouth lies where the picture was turned to."""

    def down(quarters: int) -> Any:
        rgb = np.rot90(studio.head, quarters).copy()
        face = find_faces(rgb, detector, landmarker)[0]
        return face.landmarks[13:15].mean(axis=0) - eye_centres(face.landmarks).mean(axis=0)

    expected = down(0)
    for _ in range(quarter_turns):
        expected = np.array([expected[1], -expected[0]])
    assert np.hypot(*(down(quarter_turns) - expected)) < 0.2 * np.hypot(*expected)
