"""The flow from one picture of a course to the next one."""

import numpy as np
import pytest

from server.recipes.step_flow import steps

Y, X = np.mgrid[:256, :256].astype(np.float32)


def _texture(dx, dy):
    """A picture with structure at several scales, moved by (dx, dy) px to the right and down."""
    x, y = X - dx, Y - dy
    waves = np.sin(x / 5) + np.sin(y / 6) + np.sin((x + y) / 9) + np.sin((x - 2 * y) / 13)
    return (128 + 25 * waves).astype(np.float32)


@pytest.mark.parametrize("step", [0.05, 0.5])
def test_flow_of_a_step_is_measured_below_a_pixel(step):
    """A course that moves to the right and up by a constant step says so between all its pictures."""
    u, v = steps(np.stack([_texture(number * step, -number * step) for number in range(3)]))
    assert u.shape == v.shape == (2, 256, 256)
    assert u.dtype == v.dtype == np.float32
    inner = (slice(None), slice(32, -32), slice(32, -32))
    np.testing.assert_allclose(u[inner].mean((1, 2)), step, rtol=0.05)
    np.testing.assert_allclose(v[inner].mean((1, 2)), -step, rtol=0.05)


@pytest.mark.parametrize("frames", [0, 1])
def test_one_picture_has_no_step(frames):
    """Nothing follows it."""
    u, v = steps(np.zeros((frames, 8, 8), np.float32))
    assert u.shape == v.shape == (0, 8, 8)


@pytest.mark.parametrize("contrast", [0.2, 1.0])
def test_motion_of_soft_skin_is_not_underestimated(contrast):
    """What moves by 0.3 px is found to, whatever its contrast."""
    frames = np.stack([128 + contrast * (_texture(0.3 * number, 0) - 128) for number in range(2)])
    u, _ = steps(frames.astype(np.float32))
    np.testing.assert_allclose(u[0, 32:-32, 32:-32], 0.3, atol=0.1)
