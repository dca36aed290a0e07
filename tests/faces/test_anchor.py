"""Locating an anchor's face in other frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from server.faces.align import apply, compose, invert
from server.faces.anchor import Anchor, correlation, is_lost, locate, make_anchor, normalised, shift_between
from server.faces.detect import FaceDetector
from server.faces.find import find_faces
from server.faces.landmarks import FaceLandmarker


@pytest.fixture(scope="module")
def still(studio: Any, make_head: Any) -> Any:
    """A head of 65 px between the eyes."""
    return make_head(studio.head, 320, 240, 65)


@pytest.fixture(scope="module")
def anchor(still: Any, studio: Any, detector: FaceDetector, landmarker: FaceLandmarker) -> Anchor:
    """Its anchor."""
    frame = studio.shoot([still])
    return make_anchor(frame.luma, find_faces(frame.rgb(), detector, landmarker)[0])


@pytest.mark.parametrize("move", [(1.3, -0.7, 0.0, 1.0), (9, 4, 0.03, 1.02), (-14, 8, -0.08, 0.96)])
def test_a_moved_face_is_located(
    anchor: Anchor, still: Any, studio: Any, make_head: Any, move: tuple[float, float, float, float]
) -> None:
    """From the old place, the new one is found to a fifth of a pixel of the crop."""
    dx, dy, angle, scale = move
    head = make_head(studio.head, 320 + dx, 240 + dy, 65 * scale, angle)
    fit = locate(anchor, studio.shoot([head], 1).luma, anchor.transform, rounds=4)
    assert fit is not None
    expected = compose(anchor.transform, compose(still.truth, invert(head.truth)))
    assert shift_between(expected, fit.transform) < 0.4
    assert not is_lost(fit)
    assert fit.correlation > 0.9


def test_an_expression_below_the_nose_does_not_move_the_crop(anchor: Anchor, still: Any, studio: Any) -> None:
    """A mouth that opens by several pixels leaves the crop where it was."""
    frame = studio.shoot([still], 2)
    luma = frame.luma.copy()
    mouth = apply(invert(anchor.transform), anchor.landmarks_crop)[[61, 291, 17, 0]]
    (x0, y0), (x1, y1) = mouth.min(axis=0).astype(int), mouth.max(axis=0).astype(int)
    luma[y0:y1, x0:x1] = np.roll(luma[y0:y1, x0:x1], 4, axis=0)
    fit = locate(anchor, luma, anchor.transform)
    assert fit is not None
    assert shift_between(anchor.transform, fit.transform) < 0.4


def test_a_wall_is_not_the_face(anchor: Anchor, studio: Any) -> None:
    """Where the face has gone, the answer is nothing or lost."""
    fit = locate(anchor, studio.shoot([], 3).luma, anchor.transform)
    assert fit is None or is_lost(fit)


def test_a_flat_picture_is_not_the_face(anchor: Anchor) -> None:
    """A picture without texture is answered, as lost."""
    fit = locate(anchor, np.full((480, 640), 50, np.uint8), anchor.transform)
    assert fit is None or is_lost(fit)


def test_light_is_taken_out(anchor: Anchor, still: Any, studio: Any) -> None:
    """A brighter picture and one lit from the side normalise to nearly the same template."""
    luma = studio.shoot([still], 4).luma
    side = np.linspace(0.8, 1.1, luma.shape[1])
    for lit in (luma * 1.1, luma * side):
        picture = np.clip(np.round(lit), 0, 255).astype(np.uint8)
        assert correlation(anchor.template, normalised(picture, anchor.transform)) > 0.97
    assert anchor.template.dtype == np.uint8


def test_points_are_many_and_inside(anchor: Anchor) -> None:
    """There are tens of points, all inside the template, each with a weight."""
    assert 30 <= len(anchor.points) <= 70
    assert anchor.points.min() >= 0
    assert anchor.points.max() < len(anchor.template)
    assert (anchor.weights > 0).all()
