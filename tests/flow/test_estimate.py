"""Flow between crops whose true motion is known."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.flow.derive import flow_field, strain
from server.flow.estimate import estimate, high_pass

SIZE = 128
Y, X = np.mgrid[:SIZE, :SIZE].astype(np.float32)


def _texture(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fine = cv2.GaussianBlur(rng.standard_normal((SIZE, SIZE)).astype(np.float32), (0, 0), 1.5)
    coarse = cv2.GaussianBlur(rng.standard_normal((SIZE, SIZE)).astype(np.float32), (0, 0), 6)
    picture = fine / fine.std() + 2 * coarse / coarse.std()
    return (128 + 20 * picture).astype(np.float32)


def _bump(amplitude: float) -> tuple[np.ndarray, np.ndarray]:
    shape = np.exp(-((X - 60) ** 2 + (Y - 70) ** 2) / (2 * 14.0**2)).astype(np.float32)
    return (0.6 * amplitude * shape, -0.8 * amplitude * shape)


def _moved(picture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """`picture` after each pixel p went to p + (u, v)(p)."""
    back_u, back_v = u, v
    for _ in range(6):
        back_u, back_v = (cv2.remap(f, X - back_u, Y - back_v, cv2.INTER_LINEAR) for f in (u, v))
    return cv2.remap(picture, X - back_u, Y - back_v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("method", ["fast", "accurate", "tvl1"])
@pytest.mark.parametrize("amplitude", [0.5, 1.0, 2.0])
def test_sub_pixel_motion_is_recovered_with_its_sign_and_size(method, amplitude):
    """Each estimator recovers 70 to 130 % of a smooth sub-pixel motion, and little where nothing moved."""
    u, v = _bump(amplitude)
    onset = _texture()
    got_u, got_v = estimate(onset, _moved(onset, u, v), method)
    size = np.hypot(u, v)
    moving = size > 0.4 * amplitude
    share = float((got_u * u + got_v * v)[moving].sum() / (size[moving] ** 2).sum())
    assert 0.7 < share < 1.3
    still = size < 0.01 * amplitude
    assert float(np.hypot(got_u, got_v)[still].mean()) < 0.12


@pytest.mark.parametrize("method", ["fast", "accurate"])
def test_a_change_of_light_is_not_taken_for_motion(method):
    """A brightness change of 3 % moves the answer by less than a tenth of a pixel on average."""
    onset = _texture(3)
    u, v = estimate(onset, onset * np.float32(1.03), method)
    assert float(np.hypot(u, v).mean()) < 0.1


@pytest.mark.parametrize("method", ["fast", "accurate", "tvl1"])
def test_flow_turns_with_the_picture(method):
    """Mirroring both pictures negates u and keeps v: no estimator prefers a direction."""
    u, v = _bump(1.0)
    onset = _texture(5)
    apex = _moved(onset, u, v)
    plain_u, plain_v = estimate(onset, apex, method)
    mirrored_u, mirrored_v = estimate(onset[:, ::-1].copy(), apex[:, ::-1].copy(), method)
    centre = (slice(30, 100), slice(30, 100))
    assert float(np.abs(plain_u + mirrored_u[:, ::-1])[centre].mean()) < 0.1
    assert float(np.abs(plain_v - mirrored_v[:, ::-1])[centre].mean()) < 0.1


def test_pictures_of_different_size_are_refused():
    """Two shapes are a caller's mistake and are named."""
    with pytest.raises(ValueError, match="one shape"):
        estimate(np.zeros((8, 8), np.float32), np.zeros((8, 9), np.float32), "fast")


def test_high_pass_removes_a_smooth_light_field():
    """A slow gradient is gone, fine texture stays."""
    ramp = (X + Y).astype(np.float32)
    texture = 10 * np.sin(X * 1.3).astype(np.float32)
    centre = (slice(56, 72), slice(56, 72))
    assert float(np.abs(high_pass(ramp)[centre]).max()) < 0.5
    assert float(np.abs(high_pass(ramp + texture) - texture)[centre].max()) < 0.8


@given(a=st.floats(-1, 1), b=st.floats(-1, 1), shear=st.floats(-0.2, 0.2), stretch=st.floats(-0.2, 0.2))
@settings(max_examples=40, deadline=None)
def test_strain_of_a_linear_field_follows_its_formula(a, b, shear, stretch):
    """Shifts have no strain; stretch e and shear s give sqrt(e^2 + s^2 / 2)."""
    u = (a + stretch * X + shear * Y).astype(np.float32)
    v = np.full_like(u, b)
    expected = np.sqrt(stretch**2 + 0.5 * shear**2)
    assert np.allclose(strain(u, v)[5:-5, 5:-5], expected, atol=2e-4)


def test_strain_does_not_see_a_small_rotation():
    """A rotation of the head by a hundredth of a radian has no strain."""
    assert float(strain(-0.01 * Y, 0.01 * X).max()) < 1e-5


def test_flow_field_carries_its_own_strain():
    """The field's strain is that of its u and v."""
    u, v = _bump(1.0)
    assert np.array_equal(flow_field(u, v).strain, strain(u, v))
