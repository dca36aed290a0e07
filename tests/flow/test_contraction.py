"""How far action units went, on flow whose displacement is known."""

from __future__ import annotations

import numpy as np
import pytest

from server.flow.contraction import FULL_MOTION, MIRRORED, contraction
from server.flow.derive import flow_field
from server.types import CROP_IOD_PX, CROP_SIZE_PX, Float32Array, FlowField

_ROWS, _COLUMNS = np.mgrid[:CROP_SIZE_PX, :CROP_SIZE_PX].astype(np.float32)


def _landmarks() -> Float32Array:
    """Points that lie apart from each other, the twins mirrored about the middle of the crop."""
    points = np.full((468, 2), 128.0, np.float32)
    left = sorted(MIRRORED)
    middle = sorted({p for rows in FULL_MOTION.values() for p, _, _ in rows} - set(MIRRORED))
    for i, point in enumerate(left):
        points[point] = 20 + 30 * (i % 3), 20 + 36 * (i // 3)
        points[MIRRORED[point]] = CROP_SIZE_PX - 1 - points[point][0], points[point][1]
    for i, point in enumerate(middle):
        points[point] = 128, 20 + 36 * i
    return points


def _moved(unit: int, left: float, right: float) -> FlowField:
    """The full motion of a unit times a share on each side, constant around each point."""
    u, v = np.zeros((2, CROP_SIZE_PX, CROP_SIZE_PX), np.float32)
    points = _landmarks()
    for point, outward, up in FULL_MOTION[unit]:
        for twin, sign, share in ((point, -1, left), (MIRRORED.get(point, point), 1, right)):
            near = np.hypot(_COLUMNS - points[twin][0], _ROWS - points[twin][1]) < 14
            u[near], v[near] = sign * outward * share * CROP_IOD_PX, -up * share * CROP_IOD_PX
    return flow_field(u, v)


@pytest.mark.parametrize("unit", [1, 2, 4, 6, 12, 17, 45])
def test_share_of_the_full_motion_comes_back(unit: int) -> None:
    """A fifth of a unit's motion is an intensity of a fifth, on both sides."""
    assert contraction(_moved(unit, 0.2, 0.2), _landmarks())[unit] == pytest.approx((0.2, 0.2), abs=1e-4)


def test_sides_are_those_of_the_picture() -> None:
    """A smile on the left of the picture went further there."""
    left, right = contraction(_moved(12, 0.3, 0.1), _landmarks())[12]
    assert (left, right) == pytest.approx((0.3, 0.1), abs=1e-4)


def test_motion_the_other_way_is_none() -> None:
    """Lip corners that go down and inward are no smile, and nothing goes further than fully."""
    assert contraction(_moved(12, -0.3, -0.3), _landmarks())[12] == (0.0, 0.0)
    assert contraction(_moved(12, 3.0, 3.0), _landmarks())[12] == (1.0, 1.0)


def test_points_outside_the_crop_did_not_move() -> None:
    """A chin below the picture gives no number that is not one."""
    points = _landmarks()
    points[152] = 128, 400
    assert np.isfinite(contraction(_moved(26, 0.2, 0.2), points)[26]).all()


@pytest.mark.parametrize("where", [(-40, 128), (128, -40), (400, 128), (128, 400)])
def test_nothing_is_told_of_a_side_outside_the_crop(where: tuple[int, int]) -> None:
    """Points beyond any border of the crop did not move, however much else did."""
    points = _landmarks()
    for point, _, _ in FULL_MOTION[12]:
        points[point] = where
    everywhere = np.full((CROP_SIZE_PX, CROP_SIZE_PX), -0.08 * CROP_IOD_PX, np.float32)
    assert contraction(flow_field(everywhere, everywhere), points)[12][0] == 0.0
