"""Aligning a few pictures of one face."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from server.errors import FaceLost, NoFace
from server.faces.align import apply, compose, crop_transform, invert
from server.faces.detect import FaceDetector
from server.faces.find import find_faces
from server.faces.identity import centre_px
from server.faces.landmarks import FaceLandmarker
from server.faces.pair import AlignedSet, align_to

_TICKS = np.linspace(40, 216, 7)
GRID = np.stack(np.meshgrid(_TICKS, _TICKS + 16), axis=-1).reshape(-1, 2)


def _errors(result: AlignedSet, first: Any, others: list[Any]) -> list[float]:
    back = apply(invert(compose(result.anchor.transform, first.truth)), GRID)
    return [
        float(np.linalg.norm(apply(compose(crop.transform, head.truth), back) - GRID, axis=1).mean())
        for crop, head in zip(result.crops, others, strict=True)
    ]


@pytest.fixture(scope="module")
def first(studio: Any, make_head: Any) -> Any:
    """The head in the onset picture."""
    return make_head(studio.head, 320, 240, 70)


def test_two_stills_compare_below_a_pixel(
    studio: Any, make_head: Any, detector: FaceDetector, landmarker: FaceLandmarker, first: Any
) -> None:
    """Head motion of 20 px and more between two pictures leaves a fifth of a crop pixel."""
    moves = [(3, -2, 0.01, 1.0), (18, -9, 0.05, 1.03), (-24, 14, -0.1, 0.95), (200, 60, 0.3, 1.3)]
    heads = [make_head(studio.head, 320 + dx, 240 + dy, 70 * scale, angle) for dx, dy, angle, scale in moves]
    shots = [studio.shoot([head], i + 1, i + 1.0) for i, head in enumerate(heads)]
    result = align_to(studio.shoot([first]), shots, landmarker, detector)
    assert max(_errors(result, first, heads)) < 0.25
    assert [crop.time_s for crop in result.crops] == [1, 2, 3, 4]
    for crop in result.crops:
        assert crop.gray.shape == (256, 256)
        assert crop.gray.dtype == np.float32
        assert np.abs(crop.gray - result.anchor.gray)[60:200, 60:200].mean() < 4
    assert max(result.residuals_iod) < 0.01
    assert result.quality.iod_px == pytest.approx(70, rel=0.05)


def test_the_named_face_is_meant(
    studio: Any, make_head: Any, detector: FaceDetector, landmarker: FaceLandmarker
) -> None:
    """With two faces, `near` chooses; without it the larger one is taken."""
    small, large = make_head(studio.head, 180, 240, 50), make_head(studio.other, 460, 240, 75)
    shots = [studio.shoot([small, large], i) for i in range(2)]
    faces = find_faces(shots[0].rgb(), detector, landmarker)
    near = crop_transform(faces[1].landmarks)
    chosen = align_to(shots[0], shots[1:], landmarker, detector, near)
    default = align_to(shots[0], shots[1:], landmarker, detector)
    assert centre_px(chosen.anchor.transform)[0] == pytest.approx(180, abs=10)
    assert centre_px(default.crops[0].transform)[0] == pytest.approx(460, abs=10)


def test_a_missing_face_in_the_anchor_is_told(
    studio: Any, detector: FaceDetector, landmarker: FaceLandmarker, first: Any
) -> None:
    """An onset without a face is refused by its index."""
    with pytest.raises(NoFace, match="frame 7") as caught:
        align_to(studio.shoot([], 7), [studio.shoot([first])], landmarker, detector)
    assert caught.value.details == {"frame": 7}


def test_a_missing_face_in_another_frame_is_told(
    studio: Any, detector: FaceDetector, landmarker: FaceLandmarker, first: Any
) -> None:
    """An apex without the face is refused by its index, even when the onset is fine."""
    with pytest.raises(FaceLost, match="frame 9") as caught:
        align_to(studio.shoot([first]), [studio.shoot([first], 8), studio.shoot([], 9)], landmarker, detector)
    assert caught.value.details == {"frame": 9}


def test_an_empty_set_is_the_anchor_alone(
    studio: Any, detector: FaceDetector, landmarker: FaceLandmarker, first: Any
) -> None:
    """Without other frames there is the anchor's crop and its landmarks."""
    result = align_to(studio.shoot([first]), [], landmarker, detector)
    assert result.crops == ()
    assert result.landmarks_crop.shape == (468, 2)
    assert result.landmarks_crop[[33, 133]].mean(axis=0) == pytest.approx((70.4, 96), abs=0.01)
