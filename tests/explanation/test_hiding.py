"""What is left of a movement when a part of it is hidden: motion that is known, in flow and in pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from server.explanation.hiding import hide_area, hide_unit
from server.explanation.masks import region_mask
from server.flow.contraction import FULL_MOTION, MIRRORED, contraction
from server.flow.derive import flow_field
from server.types import CROP_IOD_PX, EventSample, Float32Array, Side
from tests.explanation.faces import landmarks

_Y, _X = np.mgrid[:256, :256].astype(np.float32)
_SHARE = 0.4


def _sample(*units: int) -> EventSample:
    """A face on which these units move by `_SHARE` of their full motion, with pictures that move with the flow; the
    course goes there and back in five pictures.
    """
    u, v = np.zeros((2, 256, 256), np.float32)
    for unit in units:
        for point, outward, up in FULL_MOTION[unit]:
            for twin, sign in {(point, -1), (MIRRORED.get(point, point), 1)}:
                x, y = landmarks()[twin]
                near = _SHARE * CROP_IOD_PX * np.exp(-((_X - x) ** 2 + (_Y - y) ** 2) / (2 * 14.0**2))
                u += near * sign * outward
                v -= near * up
    onset = np.asarray(128 + 60 * np.sin(_X / 9) * np.cos(_Y / 7), np.float32)
    shown = [_warped(onset, u, v, share) for share in (0, 0.5, 1, 0.5, 0)]
    return EventSample(onset, shown[2], landmarks(), flow_field(u, v), course=np.stack(shown))


def _warped(picture: Float32Array, u: Float32Array, v: Float32Array, share: float) -> Float32Array:
    return cv2.remap(picture, _X - share * u, _Y - share * v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def test_nothing_moves_where_an_area_is_hidden() -> None:
    """Under the mask there is no motion and no strain, and all pictures show the onset; elsewhere all is as it was."""
    sample, mask = _sample(4, 12), region_mask(landmarks(), "mouth_corner", "both")
    hidden, under, outside = hide_area(sample, mask), mask == 1, mask == 0
    for plane, was in (
        (hidden.flow.u, sample.flow.u),
        (hidden.flow.v, sample.flow.v),
        (hidden.flow.strain, sample.flow.strain),
    ):
        assert np.abs(plane[under]).max() == 0
        np.testing.assert_array_equal(plane[outside], was[outside])
    for picture, was in zip([hidden.apex, *hidden.course], [sample.apex, *sample.course], strict=True):
        np.testing.assert_allclose(picture[under], sample.onset[under], atol=1e-3)
        np.testing.assert_allclose(picture[outside], was[outside], atol=1e-3)


def test_an_edge_of_a_mask_adds_no_strain() -> None:
    """Hiding half of a movement leaves no more strain anywhere than there was."""
    sample = _sample(12)
    hidden = hide_area(sample, region_mask(landmarks(), "cheek", "left"))
    assert (hidden.flow.strain <= sample.flow.strain).all()


@pytest.mark.parametrize("unit", [1, 4, 12, 15, 17])
def test_a_hidden_unit_has_hardly_moved(unit: int) -> None:
    """What is measured of the unit falls to a fifth; a unit of the other half of the face is as it was."""
    other = 12 if unit < 10 else 4
    sample = _sample(unit, other)
    before = contraction(sample.flow, landmarks())
    after = contraction(hide_unit(sample, FULL_MOTION[unit], MIRRORED, ("left", "right")).flow, landmarks())
    assert min(before[unit]) > 0.2
    assert max(after[unit]) < 0.2 * min(before[unit])
    assert after[other] == pytest.approx(before[other], rel=0.02)


def test_motion_the_other_way_is_not_hidden() -> None:
    """Brows that are lowered are no part of raised ones."""
    sample = _sample(4)
    hidden = hide_unit(sample, FULL_MOTION[2], MIRRORED, ("left", "right"))
    assert contraction(hidden.flow, landmarks())[4] == pytest.approx(contraction(sample.flow, landmarks())[4], rel=0.1)


@pytest.mark.parametrize(("side", "kept"), [("left", 1), ("right", 0)])
def test_a_unit_is_hidden_on_the_side_that_is_asked_for(side: Side, kept: int) -> None:
    """The other mouth corner still moves."""
    sample = _sample(12)
    after = contraction(hide_unit(sample, FULL_MOTION[12], MIRRORED, (side,)).flow, landmarks())[12]
    assert after[kept] == pytest.approx(contraction(sample.flow, landmarks())[12][kept], rel=0.05)
    assert after[1 - kept] < 0.2 * after[kept]


def test_pictures_stand_still_where_a_unit_is_hidden() -> None:
    """Apex and course show the onset there again, each picture moved back as far as it had gone; other units still
    show.
    """
    sample = _sample(4, 12)
    hidden = hide_unit(sample, FULL_MOTION[12], MIRRORED, ("left", "right"))
    mouth, brows = (region_mask(landmarks(), name, "both") == 1 for name in ("mouth_corner", "brow"))
    for picture, was in zip([hidden.apex, *hidden.course], [sample.apex, *sample.course], strict=True):
        moved = np.abs(was - sample.onset)[mouth].mean()
        assert np.abs(picture - sample.onset)[mouth].mean() <= 0.35 * moved
        np.testing.assert_allclose(picture[brows], was[brows], atol=0.5)


def test_what_does_not_move_is_hidden_without_a_trace() -> None:
    """A face at rest is the same, whatever is hidden of it."""
    sample = _sample()
    for hidden in (
        hide_area(sample, region_mask(landmarks(), "brow", "left")),
        hide_unit(sample, FULL_MOTION[1], MIRRORED, ("left", "right")),
    ):
        np.testing.assert_allclose(hidden.apex, sample.apex, atol=1e-3)
        np.testing.assert_allclose(hidden.course, sample.course, atol=1e-3)
        assert not hidden.flow.u.any()
        assert not hidden.flow.v.any()
