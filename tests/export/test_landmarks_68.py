"""The 468 points of the face mesh as 68 points."""

from __future__ import annotations

import numpy as np
import pytest

from export.landmarks_68 import (
    INNER_LIPS,
    JAW,
    LEFT_BROW,
    LEFT_EYE,
    MESH_POINTS,
    MIRRORED,
    NOSE,
    OUTER_LIPS,
    RIGHT_BROW,
    RIGHT_EYE,
    of_mesh,
)
from export.synthesis.identities import FacePicture, default_face, find_face
from server.types import Float32Array

PARTS = (JAW, LEFT_BROW, RIGHT_BROW, NOSE, LEFT_EYE, RIGHT_EYE, OUTER_LIPS, INNER_LIPS)


@pytest.fixture(scope="module")
def face() -> FacePicture:
    """The portrait."""
    return default_face()


@pytest.fixture(scope="module")
def points(face: FacePicture) -> Float32Array:
    """Its 68 points in distances of its eyes, the eye line level, y down, origin between the eyes."""
    found = of_mesh(face.landmarks)
    left, right = found[LEFT_EYE].mean(0), found[RIGHT_EYE].mean(0)
    along = (right - left) / np.square(right - left).sum()
    return (found - (left + right) / 2) @ np.array([[along[0], -along[1]], [along[1], along[0]]], np.float32)


def _area(polygon: Float32Array) -> float:
    """Positive where the corners are named clockwise in the picture."""
    x, y = polygon.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_each_point_is_one_of_the_mesh() -> None:
    """68 different ones, the parts one after the other."""
    assert len(set(MESH_POINTS)) == len(MESH_POINTS) == 68
    assert min(MESH_POINTS) >= 0
    assert max(MESH_POINTS) < 468
    assert [index for part in PARTS for index in range(68)[part]] == list(range(68))
    mesh = np.arange(2 * 468, dtype=np.float32).reshape(468, 2)
    assert of_mesh(np.stack([mesh, mesh + 1]))[1, 8].tolist() == (mesh[152] + 1).tolist()


def test_mirroring_swaps_sides_and_nothing_else() -> None:
    """Twice mirrored is as before; the midline stays; each part takes the place of itself or of its twin."""
    assert [MIRRORED[MIRRORED[index]] for index in range(68)] == list(range(68))
    assert [index for index in range(68) if MIRRORED[index] == index] == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    twins = (JAW, RIGHT_BROW, LEFT_BROW, NOSE, RIGHT_EYE, LEFT_EYE, OUTER_LIPS, INNER_LIPS)
    for part, twin in zip(PARTS, twins, strict=True):
        assert {MIRRORED[index] for index in range(68)[part]} == set(range(68)[twin])


def test_points_of_a_mirrored_picture_are_the_mirrored_points(face: FacePicture) -> None:
    """The face is found anew in the mirrored portrait: each point lies where its twin did, within 8 % of an IOD."""
    mirrored = find_face("mirrored", np.ascontiguousarray(face.rgb[:, ::-1]))
    expected = of_mesh(face.landmarks)[list(MIRRORED)]
    expected[:, 0] = face.rgb.shape[1] - 1 - expected[:, 0]
    iod = np.linalg.norm(expected[LEFT_EYE].mean(0) - expected[RIGHT_EYE].mean(0))
    away = np.linalg.norm(of_mesh(mirrored.landmarks) - expected, axis=1) / iod
    assert away.max() < 0.08


def test_jaw_goes_from_temple_to_temple(points: Float32Array) -> None:
    """Left to right, down to the chin, which is lowest, and up again, from about the height of the eyes."""
    x, y = points[JAW].T
    assert (np.diff(x) > 0).sum() >= 14
    assert (np.diff(x[2:15]) > 0).all()
    assert (np.diff(y[:9]) > 0).all()
    assert (np.diff(y[8:]) < 0).all()
    assert np.abs(y[[0, 16]]).max() < 0.3
    assert y[8] == points[:, 1].max()
    steps = np.linalg.norm(np.diff(points[JAW], axis=0), axis=1)
    assert steps.max() < 2.5 * steps.min()


def test_brows_go_from_left_to_right_above_the_eyes(points: Float32Array) -> None:
    """Five points each, from the left end to the right end."""
    for brow, eye in ((LEFT_BROW, LEFT_EYE), (RIGHT_BROW, RIGHT_EYE)):
        assert (np.diff(points[brow, 0]) > 0).all()
        assert points[brow, 1].max() < points[eye, 1].min()


def test_nose_goes_down_and_then_across(points: Float32Array) -> None:
    """Four points of the ridge in about even steps, five below it from left to right, with the tip between."""
    ridge, below = points[27:31], points[31:36]
    steps = np.diff(ridge[:, 1])
    assert steps.min() > 0
    assert steps.max() < 2 * steps.min()
    assert (np.diff(below[:, 0]) > 0).all()
    assert below[:, 1].min() > ridge[:, 1].max()
    assert below[2, 1] == below[:, 1].max()


def test_eyes_are_named_clockwise_from_their_left_corner(points: Float32Array) -> None:
    """Left corner, two points of the upper lid, right corner, two of the lower lid; centres one IOD apart."""
    for eye in (points[LEFT_EYE], points[RIGHT_EYE]):
        assert _area(eye) > 0
        assert eye[:, 0].argmin() == 0
        assert eye[:, 0].argmax() == 3
        assert eye[1:3, 1].max() < eye[[0, 3], 1].min() + 0.02
        assert eye[1:3, 1].max() < eye[4:, 1].min()
        np.testing.assert_allclose(eye[1:3, 0], eye[:3:-1, 0], atol=0.06)
    assert points[LEFT_EYE].mean(0).tolist() == pytest.approx([-0.5, 0.0], abs=1e-3)
    assert points[RIGHT_EYE].mean(0).tolist() == pytest.approx([0.5, 0.0], abs=1e-3)


def test_lips_are_named_clockwise_from_their_left_corner(points: Float32Array) -> None:
    """Outer edge around the inner one; upper lip above the lower one, point by point."""
    outer, inner = points[OUTER_LIPS], points[INNER_LIPS]
    for lips, right in ((outer, 6), (inner, 4)):
        assert _area(lips) > 0
        assert lips[:, 0].argmin() == 0
        assert lips[:, 0].argmax() == right
        upper, lower = lips[1:right], lips[:right:-1]
        assert (upper[:, 1] < lower[:, 1]).all()
        np.testing.assert_allclose(upper[:, 0], lower[:, 0], atol=0.1)
    assert _area(outer) > _area(inner) > 0
    assert (outer[2:5, 1] < inner[1:4, 1]).all()
    assert (outer[8:11, 1] > inner[5:8, 1]).all()
