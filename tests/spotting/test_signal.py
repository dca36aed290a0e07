"""Regional motion measured in crops whose motion is known."""

from __future__ import annotations

import cv2
import numpy as np

from server.spotting.rigid import BONES
from server.spotting.signal import REGION_LANDMARKS, REGIONS, RegionTracker
from server.types import CROP_IOD_PX, CROP_SIZE_PX, Crop, Float32Array

CHIN = REGIONS.index("chin")


def _texture(seed: int) -> Float32Array:
    noise = np.random.default_rng(seed).uniform(0, 255, (CROP_SIZE_PX, CROP_SIZE_PX)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.asarray((smooth - smooth.mean()) * 8 + 128, dtype=np.float32)


def _crop(picture: Float32Array, time_s: float) -> Crop:
    return Crop(picture, time_s, np.eye(2, 3))


def _landmarks() -> Float32Array:
    """Every region apart from the others."""
    places = np.zeros((468, 2), np.float32)
    for number, group in enumerate((*REGION_LANDMARKS.values(), *((bone,) for bone in BONES))):
        places[list(group)] = (40 + 34 * (number % 6), 40 + 42 * (number // 6))
    return places


def _with_chin(face: Float32Array, landmarks: Float32Array, down_px: float) -> Float32Array:
    """The face with the square around the chin moved down."""
    x, y = (int(value) for value in landmarks[REGION_LANDMARKS["chin"][0]])
    moved = cv2.warpAffine(face, np.array([[1, 0, 0], [0, 1, down_px]], np.float32), face.shape[::-1])
    changed = face.copy()
    square = slice(y - 24, y + 24), slice(x - 24, x + 24)
    changed[square] = moved[square]
    return changed


def test_motion_of_one_region_is_its_own() -> None:
    """Down by three pixels and nothing elsewhere."""
    face, landmarks, tracker = _texture(0), _landmarks(), RegionTracker()
    tracker.update(_crop(face, 0.0), 0, landmarks)
    found = tracker.update(_crop(_with_chin(face, landmarks, 3.0), 0.03), 0, landmarks)
    assert np.allclose(found[CHIN] * CROP_IOD_PX, (0.0, 3.0), atol=0.3)
    assert np.abs(np.delete(found, CHIN, axis=0)).max() * CROP_IOD_PX < 0.3


def test_a_region_that_was_lost_is_found_again() -> None:
    """A mouth that opens far and shuts from one frame to the next: points return to the skin that they belong to."""
    face, landmarks, tracker = _texture(0), _landmarks(), RegionTracker()
    path = [0.0, 3.0, 6.0, 9.0, 12.0, 15.0, 0.0, 0.0]
    for number, down in enumerate(path):
        found = tracker.update(_crop(_with_chin(face, landmarks, down), number / 30), 0, landmarks)
        assert np.allclose(found[CHIN] * CROP_IOD_PX, (0.0, down), atol=0.5), number
