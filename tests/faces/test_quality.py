"""Quality of the evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.faces.align import crop_transform
from server.faces.anchor import make_anchor
from server.faces.detect import FaceDetector
from server.faces.find import find_faces
from server.faces.landmarks import FaceLandmarker
from server.faces.quality import _INDICES, _SHAPE, assess, grade, head_pose
from server.types import FaceQuality

GOOD = FaceQuality(iod_px=90, sharpness=30, yaw_deg=3, pitch_deg=-4, roll_deg=5, inside=1.0)


@given(st.floats(-50, 50), st.floats(-40, 40), st.floats(-90, 90), st.floats(10, 300))
def test_the_pose_of_a_known_head_is_read_back(yaw: float, pitch: float, roll: float, scale: float) -> None:
    """Nose to the right, nose down and leaning clockwise are positive, and exact for the mean shape."""
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    lean = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    landmarks = np.zeros((468, 2), np.float32)
    landmarks[_INDICES] = scale * (_SHAPE @ (lean @ nod @ turn).T)[:, :2] + 128
    assert head_pose(landmarks) == pytest.approx((yaw, pitch, roll), abs=0.05)


def test_a_turned_nose_is_a_positive_yaw(detector: FaceDetector, landmarker: FaceLandmarker, studio: Any) -> None:
    """A frontal portrait has little yaw; squeezing its right half makes the nose point there."""
    face = find_faces(studio.head, detector, landmarker)[0]
    assert abs(head_pose(face.landmarks)[0]) < 5
    squeezed = face.landmarks.copy()
    nose = squeezed[1, 0]
    right = squeezed[:, 0] > nose
    squeezed[right, 0] = nose + 0.6 * (squeezed[right, 0] - nose)
    assert head_pose(squeezed)[0] > 8


def test_a_face_is_measured(detector: FaceDetector, landmarker: FaceLandmarker, studio: Any, make_head: Any) -> None:
    """Size, lean, sharpness and the share inside are those of the frame."""
    frame = studio.shoot([make_head(studio.head, 320, 240, 75, 0.2)])
    anchor = make_anchor(frame.luma, find_faces(frame.rgb(), detector, landmarker)[0])
    found = assess(frame.luma, anchor.transform, anchor.landmarks_crop)
    assert found.iod_px == pytest.approx(75, rel=0.05)
    assert found.roll_deg == pytest.approx(np.degrees(0.2) + 3.4, abs=3)
    assert found.inside == 1
    blurred = np.asarray(cv2.GaussianBlur(frame.luma, (0, 0), 3), np.uint8)
    worse = assess(blurred, anchor.transform, anchor.landmarks_crop)
    assert worse.sharpness < found.sharpness / 5
    assert grade(found, 100).grade == "good"
    assert grade(worse, 100).reasons == ("the face is blurred or strongly compressed",)
    cut = assess(frame.luma[:, :330].copy(), anchor.transform, anchor.landmarks_crop)
    assert 0.3 < cut.inside < 0.8


def test_quality_does_not_depend_on_the_place(
    detector: FaceDetector, landmarker: FaceLandmarker, studio: Any, make_head: Any
) -> None:
    """The same head elsewhere in the picture is as sharp."""
    values = []
    for place in ((200, 200), (420, 260)):
        frame = studio.shoot([make_head(studio.head, *place, 75)], noise=0)
        face = find_faces(frame.rgb(), detector, landmarker)[0]
        values.append(assess(frame.luma, crop_transform(face.landmarks), face.landmarks).sharpness)
    assert values[0] == pytest.approx(values[1], rel=0.1)


@pytest.mark.parametrize(
    ("change", "fps", "expected", "word"),
    [
        ({}, 60, "good", ""),
        ({}, 49.95, "good", ""),
        ({"iod_px": 50}, 60, "fair", "small"),
        ({"iod_px": 30}, 60, "poor", "small"),
        ({"sharpness": 1.0}, 60, "poor", "blurred"),
        ({"yaw_deg": -20.0}, 60, "fair", "sideways by 20"),
        ({"yaw_deg": 26.0}, 60, "poor", "sideways by 26"),
        ({"pitch_deg": 35.0}, 60, "poor", "down by 35"),
        ({"pitch_deg": -25.0}, 60, "fair", "up by 25"),
        ({"inside": 0.7}, 60, "poor", "70 %"),
        ({}, 29.97, "fair", "frame rate"),
        ({}, 24.98, "fair", "frame rate"),
        ({}, 15, "poor", "frame rate"),
        ({"iod_px": float("nan")}, 60, "poor", "small"),
    ],
)
def test_each_weakness_has_its_grade_and_reason(change: dict[str, float], fps: float, expected: str, word: str) -> None:
    """One weakness decides the grade and is named."""
    evidence = grade(replace(GOOD, **change), fps)
    assert evidence.grade == expected
    assert len(evidence.reasons) == (0 if expected == "good" else 1)
    assert all(word in reason for reason in evidence.reasons)


def test_the_worst_weakness_comes_first() -> None:
    """Several weaknesses are all told, the gravest first."""
    evidence = grade(replace(GOOD, iod_px=50, yaw_deg=40), 30)
    assert evidence.grade == "poor"
    assert len(evidence.reasons) == 3
    assert "sideways" in evidence.reasons[0]
