"""Light is taken out of pictures before motion is looked for in them."""

import cv2
import numpy as np
import pytest

from server.contrast import even_light

_INNER = (slice(24, -24), slice(24, -24))
"""Where all cells around a pixel are in the picture."""


def _texture(right_px=0.0, down_px=0.0):
    """Waves of many lengths and directions, float32 [192, 160], around 120, shifted exactly."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:192, :160].astype(np.float64)
    waves = [
        np.sin(a * (x - right_px) + b * (y - down_px) + phase)
        for (a, b), phase in zip(rng.uniform(-0.9, 0.9, (60, 2)), rng.uniform(0, 6.28, 60), strict=True)
    ]
    texture = np.sum(waves, axis=0)
    return (120 + 15 * texture / texture.std()).astype(np.float32)


@pytest.fixture
def skin():
    return _texture()


def _even(gray):
    return even_light(gray.astype(np.float32), cell_px=8, cells=5).astype(np.float32)


def test_a_picture_without_texture_is_grey():
    """Nothing is made of nothing, at any brightness."""
    for level in (0, 90, 255):
        assert (_even(np.full((96, 64), level)) == 128).all()


def test_texture_has_one_contrast_everywhere(skin):
    """Where the light is weak the texture comes out nearly as strong as where it is bright."""
    dim = skin * np.linspace(0.4, 1.6, 160, dtype=np.float32)
    even = _even(dim)
    left, right = (slice(None), slice(24, 48)), (slice(None), slice(-48, -24))
    assert (dim - dim.mean(axis=0))[left].std() < 0.6 * (dim - dim.mean(axis=0))[right].std()
    assert even[left].std() == pytest.approx(even[right].std(), rel=0.2)


def test_light_that_changes_slowly_over_the_face_leaves_no_trace(skin):
    """A lamp that comes on at one side changes what is seen by far less than the texture itself."""
    lit = skin + np.linspace(0, 60, 160, dtype=np.float32)
    assert np.abs(_even(lit) - _even(skin))[_INNER].mean() < 0.1 * _even(skin).std()


def test_sub_pixel_motion_is_kept(skin):
    """Points that Lucas and Kanade's method follows from one picture to the other move by what the face moved."""
    moved = _texture(0.3, -0.2) * 0.8 + 20
    points = np.stack(np.meshgrid(np.arange(32, 128, 8), np.arange(32, 160, 8)), axis=-1).reshape(-1, 1, 2)
    one, other = (_even(picture).astype(np.uint8) for picture in (skin, moved))
    found, _, _ = cv2.calcOpticalFlowPyrLK(one, other, points.astype(np.float32), None, winSize=(15, 15), maxLevel=0)
    assert np.median(found - points, axis=(0, 1)) == pytest.approx((0.3, -0.2), abs=0.03)
