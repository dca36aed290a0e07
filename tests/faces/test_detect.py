"""Finding faces."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from server.faces.detect import SURE_SCORE, Detection, FaceDetector
from server.faces.find import find_faces, largest
from server.faces.landmarks import FaceLandmarker


def _centre(detection: Detection) -> tuple[float, float]:
    x0, y0, x1, y1 = detection.box
    return (x0 + x1) / 2, (y0 + y1) / 2


def test_an_upright_face_is_found(detector: FaceDetector, studio: Any) -> None:
    """The box, the eyes and the nose lie where they are in the picture."""
    best = detector.detect(studio.head)[0]
    assert best.score > SURE_SCORE
    assert _centre(best) == pytest.approx((224, 127), abs=6)
    np.testing.assert_allclose(best.keypoints[0], (203, 101), atol=5)
    np.testing.assert_allclose(best.keypoints[1], (247, 105), atol=5)
    np.testing.assert_allclose(best.keypoints[2], (222, 124), atol=6)


@pytest.mark.parametrize("face_px", [60, 75, 90])
@pytest.mark.parametrize("place", [(200, 150), (1000, 560), (640, 300)])
def test_a_small_face_is_found(
    detector: FaceDetector, studio: Any, make_head: Any, face_px: int, place: tuple[int, int]
) -> None:
    """A face of 60 to 90 px in a picture of 1280 x 720 is found without being asked to look closely."""
    frame = studio.shoot([make_head(studio.head, *place, iod_px=face_px / 2.2)], size=(1280, 720))
    assert _centre(detector.detect(frame.rgb())[0]) == pytest.approx(place, abs=face_px / 5)


@pytest.mark.parametrize("iod_px", [50, 160, 420])
def test_a_face_in_a_4k_picture_is_found(detector: FaceDetector, studio: Any, make_head: Any, iod_px: float) -> None:
    """Small, middle and large faces in 3840 x 2160 are found."""
    frame = studio.shoot([make_head(studio.head, 2600, 1200, iod_px=iod_px)], size=(3840, 2160))
    assert _centre(detector.detect(frame.rgb())[0]) == pytest.approx((2600, 1200), abs=iod_px / 2)


@pytest.mark.parametrize("size", [(720, 1280), (300, 900), (90, 120)])
def test_any_picture_shape_will_do(detector: FaceDetector, studio: Any, make_head: Any, size: tuple[int, int]) -> None:
    """Upright, narrow and small pictures work as wide ones do."""
    place = (size[0] / 2, size[1] / 2)
    frame = studio.shoot([make_head(studio.head, *place, iod_px=min(size) / 4)], size=size)
    assert _centre(detector.detect(frame.rgb())[0]) == pytest.approx(place, abs=min(size) / 10)


def test_a_leaning_head_is_found(detector: FaceDetector, studio: Any, make_head: Any) -> None:
    """The eyes' keypoints follow a head that leans by 20 degrees."""
    frame = studio.shoot([make_head(studio.head, 320, 240, 70, np.radians(20))])
    across = np.diff(detector.detect(frame.rgb())[0].keypoints[:2], axis=0)[0]
    assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(23, abs=7)


def test_two_faces_are_found_once_each(
    detector: FaceDetector, landmarker: FaceLandmarker, studio: Any, make_head: Any
) -> None:
    """Two faces of different size give two faces, the larger one first, however closely one looks."""
    frame = studio.shoot([make_head(studio.head, 150, 200, 40), make_head(studio.other, 450, 240, 80)])
    for thorough in (False, True):
        faces = find_faces(frame.rgb(), detector, landmarker, thorough=thorough)
        assert [round(face.box[0] / 200) for face in faces] == [2, 1]
        assert largest(faces) is faces[0]


def test_noise_has_no_face(detector: FaceDetector, landmarker: FaceLandmarker) -> None:
    """White noise, soft noise and a flat picture hold no face."""
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, (480, 640, 3)).astype(np.uint8)
    soft = np.asarray(cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 8), np.empty(0), 0, 255, cv2.NORM_MINMAX), np.uint8)
    for picture in (noise, soft, np.full((480, 640, 3), 90, np.uint8)):
        assert find_faces(picture, detector, landmarker, thorough=True) == []


@pytest.mark.parametrize("size", [(1, 1), (2, 500), (500, 2)])
def test_degenerate_pictures_hold_no_face(detector: FaceDetector, size: tuple[int, int]) -> None:
    """A picture of a pixel or a line is answered, with nothing."""
    assert detector.detect(np.zeros((*size, 3), np.uint8), thorough=True) == []


def test_no_faces_have_no_largest() -> None:
    """The largest of none is None."""
    assert largest([]) is None
