"""The recipe that keeps zero and magnitude."""

import numpy as np
import pytest

from server.flow.derive import flow_field
from server.recipes.flow_uvs_28 import make as make_stretched
from server.recipes.flow_uvs_28_iod import DIMS, MOTION_BOUND, STRAIN_BOUND, make
from server.recipes.registry import RECIPES
from server.types import CROP_IOD_PX, EventSample

Y, X = np.mgrid[:256, :256].astype(np.float32)


def _sample(u, v):
    blank = np.zeros((256, 256), np.float32)
    return EventSample(blank, blank, np.zeros((468, 2), np.float32), flow_field(u, v))


def _bump(height_px):
    return (height_px * np.exp(-((X - 90) ** 2 + (Y - 90) ** 2) / 800)).astype(np.float32)


def test_shift_is_in_percent_of_the_iod_and_has_no_strain():
    """A face that moved by 2 % of its IOD to the right and 1 % upwards says so in every pixel."""
    u, v = np.full((256, 256), 0.02 * CROP_IOD_PX, np.float32), np.full((256, 256), -0.01 * CROP_IOD_PX, np.float32)
    tensor = make(_sample(u, v))["flow"]
    assert tensor.dtype == np.float32
    assert tensor.shape == DIMS["flow"]
    np.testing.assert_allclose(tensor[0], 2.0, rtol=1e-5)
    np.testing.assert_allclose(tensor[1], -1.0, rtol=1e-5)
    assert not tensor[2].any()


def test_stretch_of_the_skin_is_in_percent():
    """A face that is drawn out sideways by 3 % has a strain of 3 everywhere."""
    tensor = make(_sample(0.03 * (X - 128), np.zeros_like(X)))["flow"]
    np.testing.assert_allclose(tensor[2], 3.0, rtol=1e-3)


@pytest.mark.parametrize("factor", [0.1, 0.5, 4.0])
def test_magnitude_is_kept(factor):
    """A motion that is several times as strong has planes that are several times as large."""
    one, other = (make(_sample(_bump(height), -2 * _bump(height)))["flow"] for height in (1.0, factor))
    np.testing.assert_allclose(other, factor * one, rtol=1e-3, atol=1e-5)


def test_pattern_is_that_of_the_stretched_recipe():
    """Stretched to 0..255, each plane is the plane of flow_uvs_28: the same window, averaged alike."""
    sample = _sample(_bump(2.0), -3 * _bump(1.0))
    planes = make(sample)["flow"]
    low, high = planes.min((1, 2), keepdims=True), planes.max((1, 2), keepdims=True)
    np.testing.assert_allclose(255 * (planes - low) / (high - low), make_stretched(sample)["flow"], atol=0.01)


def test_wild_flow_is_bounded():
    """What no face can do is cut off, with its sign."""
    tensor = make(_sample(200 * np.sign(X - 127.5), np.full_like(X, -90.0)))["flow"]
    assert (tensor[0].min(), tensor[0].max(), tensor[1].max()) == (-MOTION_BOUND, MOTION_BOUND, -MOTION_BOUND)
    assert (tensor[2].min(), tensor[2].max()) == (0, STRAIN_BOUND)


def test_no_motion_is_zero():
    """Zero is zero."""
    blank = np.zeros((256, 256), np.float32)
    assert not make(_sample(blank, blank))["flow"].any()


def test_recipe_is_registered_with_its_shapes():
    """A contract may name it."""
    assert dict(RECIPES["flow_uvs_28_iod"].dims) == dict(DIMS)
