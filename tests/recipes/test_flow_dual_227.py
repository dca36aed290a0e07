"""The recipe of DSSN."""

from __future__ import annotations

import numpy as np

from server.flow.derive import flow_field
from server.recipes.flow_dual_227 import MAGNITUDE, STRAIN, make
from server.types import EventSample


def _made(u, v):
    blank = np.zeros((256, 256), np.float32)
    return make(EventSample(blank, blank, np.zeros((468, 2), np.float32), flow_field(u, v)))


def test_uniform_motion_has_the_stated_greys():
    """2 px to the right and 1.5 px up: 128 + 32, 128 - 24 and a magnitude of 16 * 2.5; strain is nothing."""
    still = np.zeros((256, 256), np.float32)
    made = _made(still + 2.0, still - 1.5)
    for name in (MAGNITUDE, STRAIN):
        assert made[name].shape == (3, 227, 227)
        assert made[name].dtype == np.float32
        assert np.allclose(made[name][0], 160)
        assert np.allclose(made[name][1], 104)
    assert np.allclose(made[MAGNITUDE][2], 40)
    assert not made[STRAIN][2].any()


def test_large_motion_stays_within_the_picture():
    """Motion past 8 px is cut at 0 and 255, its magnitude past 16 px at 255."""
    still = np.zeros((256, 256), np.float32)
    made = _made(still - 20.0, still + 20.0)
    assert made[MAGNITUDE].min() == 0
    assert made[MAGNITUDE].max() == 255
    assert (made[MAGNITUDE][2] == 255).all()


def test_no_motion_is_finite_and_the_same_grey():
    """A face that did not move is 128 in u and v and black in the third channel."""
    still = np.zeros((256, 256), np.float32)
    for image in _made(still, still).values():
        assert (image[:2] == 128).all()
        assert not image[2].any()


def test_strain_spans_the_whole_range_of_each_picture():
    """However weak the motion is, strain goes from 0 to 255, but for what enlarging smooths."""
    y, x = np.mgrid[:256, :256].astype(np.float32)
    u = (0.1 * np.exp(-((x - 128) ** 2 + (y - 140) ** 2) / 800)).astype(np.float32)
    strain = _made(u, 0 * u)[STRAIN][2]
    assert 0 <= strain.min() < 1
    assert 250 < strain.max() <= 255


def test_motion_lands_where_the_published_images_have_it():
    """The image-left eye centre of the crop is at 0.2 of the width and 0.25 of the height."""
    u = np.zeros((256, 256), np.float32)
    u[94:99, 68:73] = 1
    row, column = np.unravel_index(int(_made(u, 0 * u)[MAGNITUDE][0].argmax()), (227, 227))
    assert abs((column + 0.5) / 227 - 0.2) < 0.02
    assert abs((row + 0.5) / 227 - 0.25) < 0.02
