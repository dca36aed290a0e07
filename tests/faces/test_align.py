"""Geometry of the crop."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.faces.align import (
    angle_of,
    apply,
    compose,
    crop_transform,
    eye_centres,
    fit_similarity,
    inside_share,
    invert,
    iod_of,
    sample,
    scale_of,
    similarity,
    warp,
    warp_with_chin,
)
from server.types import CROP_EYE_Y_PX, CROP_IOD_PX, CROP_SIZE_PX, Float64Array

SIMILARITIES = st.builds(
    similarity,
    st.floats(0.2, 5),
    st.floats(-3, 3),
    st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
)
SEEDS = st.integers(0, 2**32 - 1)


def _texture(width: int, height: int) -> np.ndarray:
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    waves = np.sin(x / 9.0 + y / 23.0) + np.cos(y / 7.0 - x / 31.0)
    return np.asarray(np.round(128 + 50 * waves), np.uint8)


@given(SEEDS, SIMILARITIES)
def test_the_crop_puts_the_eyes_in_their_place(seed: int, placed: Float64Array) -> None:
    """Wherever a face is, its eye centres come to lie level, at the agreed distance and height."""
    face = np.random.default_rng(seed).uniform(0, 50, (468, 2))
    face[[33, 133, 362, 263]] = [(0, 3), (10, 1), (40, -2), (50, 1)]
    landmarks = apply(placed, face)
    left, right = apply(crop_transform(landmarks), eye_centres(landmarks))
    middle = CROP_SIZE_PX / 2
    np.testing.assert_allclose(left, (middle - CROP_IOD_PX / 2, CROP_EYE_Y_PX), atol=1e-6)
    np.testing.assert_allclose(right, (middle + CROP_IOD_PX / 2, CROP_EYE_Y_PX), atol=1e-6)


def test_the_crop_with_the_chin_continues_the_crop() -> None:
    """Its upper part is the crop itself; below there is a quarter more."""
    picture = _texture(500, 500)
    place = similarity(0.8, 0.1, (-40.0, -30.0))
    tall = warp_with_chin(picture, place)
    assert tall.shape == (CROP_SIZE_PX + 64, CROP_SIZE_PX)
    np.testing.assert_allclose(tall[:CROP_SIZE_PX], warp(picture, place), atol=0.05)


def test_coinciding_eyes_have_no_crop() -> None:
    """A face without extent is refused."""
    with pytest.raises(ValueError, match="coincide"):
        crop_transform(np.zeros((468, 2)))


@given(SIMILARITIES, SIMILARITIES, SEEDS)
def test_transforms_compose_and_invert(one: Float64Array, other: Float64Array, seed: int) -> None:
    """Composition applies the inner transform first, and the inverse undoes a transform."""
    points = np.random.default_rng(seed).uniform(-100, 100, (5, 2))
    np.testing.assert_allclose(apply(compose(one, other), points), apply(one, apply(other, points)), atol=1e-6)
    np.testing.assert_allclose(apply(invert(one), apply(one, points)), points, atol=1e-6)


@given(st.floats(0.2, 5), st.floats(-3, 3))
def test_scale_and_angle_can_be_read_back(scale: float, angle_rad: float) -> None:
    """A transform tells its magnification, rotation, and the face size that it stands for."""
    made = similarity(scale, angle_rad, (3, -4))
    assert scale_of(made) == pytest.approx(scale)
    assert angle_of(made) == pytest.approx(angle_rad)
    assert iod_of(made) == pytest.approx(CROP_IOD_PX / scale)


@given(SIMILARITIES, SEEDS, st.integers(4, 80))
def test_an_exact_similarity_is_recovered(truth: Float64Array, seed: int, count: int) -> None:
    """Without noise the fit is exact."""
    source = np.random.default_rng(seed).uniform(0, 256, (count, 2))
    found, residual = fit_similarity(source, apply(truth, source))
    np.testing.assert_allclose(apply(found, source), apply(truth, source), atol=1e-6)
    assert residual < 1e-6


@given(SEEDS, st.floats(0.8, 1.25), st.floats(-0.3, 0.3))
def test_a_third_of_the_points_may_be_anywhere(seed: int, scale: float, angle_rad: float) -> None:
    """With 30 % outliers of up to a crop's width, the others decide."""
    rng = np.random.default_rng(seed)
    truth = similarity(scale, angle_rad, (5, -3))
    source = rng.uniform(0, 256, (70, 2))
    target = apply(truth, source) + rng.normal(0, 0.05, source.shape)
    target[:21] += rng.uniform(-128, 128, (21, 2))
    found, residual = fit_similarity(source, target)
    assert np.abs(apply(found, source) - apply(truth, source)).max() < 0.2
    assert residual < 0.2


def test_points_without_weight_take_no_part() -> None:
    """A majority of wrong points does not matter when their weight is zero."""
    source = np.random.default_rng(3).uniform(0, 100, (20, 2))
    target = source + np.array([2.0, 1.0])
    target[:15] = source[:15] * 3
    found, _ = fit_similarity(source, target, np.repeat([0.0, 1.0], [15, 5]))
    np.testing.assert_allclose(found, similarity(1, 0, (2, 1)), atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_one_place_is_no_similarity(count: int) -> None:
    """Fewer than two distinct points are refused."""
    with pytest.raises(ValueError, match="point"):
        fit_similarity(np.ones((count, 2)), np.ones((count, 2)))


def test_a_warp_is_exact_below_a_pixel() -> None:
    """A linear ramp comes out shifted by the exact fraction."""
    ramp = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    crop = warp(ramp, similarity(2.0, 0, (-60.37, -60)))
    columns = np.arange(50, 200)
    np.testing.assert_allclose(crop[128, columns], (columns + 60.37) / 2, atol=1e-3)
    assert crop.dtype == np.float32
    assert crop.shape == (CROP_SIZE_PX, CROP_SIZE_PX)


@pytest.mark.parametrize("scale", [0.11, 0.25, 0.37, 0.59])
def test_shrinking_does_not_alias(scale: float) -> None:
    """A one-pixel checkerboard, far finer than the crop, becomes nearly flat grey."""
    board = ((np.indices((2400, 2400)).sum(axis=0) % 2) * 255).astype(np.uint8)
    crop = warp(board, similarity(scale, 0.2, (0, 0)))
    assert crop[64:192, 64:192].std() < 12
    assert crop[64:192, 64:192].mean() == pytest.approx(127.5, abs=3)


@pytest.mark.parametrize("scale", [0.15, 0.4, 0.55, 0.7, 1.6])
def test_shrinking_does_not_move_the_face(scale: float) -> None:
    """Averaging whole pixels keeps positions: a blob lands where the transform says."""
    x, y = np.meshgrid(np.arange(1001.0), np.arange(900.0))
    at = (437.3, 391.8)
    sigma = 12 / scale
    blob = np.round(250 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * sigma**2))).astype(np.uint8)
    shift = (128 - at[0] * scale, 128 - at[1] * scale)
    crop = warp(blob, similarity(scale, 0, shift)).astype(np.float64)
    rows, columns = np.indices(crop.shape)
    centre = ((columns * crop).sum() / crop.sum(), (rows * crop).sum() / crop.sum())
    np.testing.assert_allclose(centre, (128, 128), atol=0.1)


def test_the_source_window_changes_nothing() -> None:
    """Cutting the needed part out first gives what a warp of the whole picture gives."""
    picture = _texture(640, 480)
    transform = similarity(1.7, 0.3, (-280, -420))
    whole = cv2.warpAffine(
        picture.astype(np.float32), transform, (256, 256), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    np.testing.assert_allclose(warp(picture, transform), whole, atol=0.01)


def test_colour_is_sampled_like_grey() -> None:
    """Each channel of a colour picture is sampled as if alone."""
    grey = _texture(300, 200)
    transform = similarity(0.5, 0.1, (10, 5))
    colour = sample(np.stack([grey, grey // 2, 255 - grey], axis=-1), transform, 64)
    np.testing.assert_allclose(colour[..., 0], sample(grey, transform, 64), atol=1e-3)
    np.testing.assert_allclose(colour[..., 2], sample(255 - grey, transform, 64), atol=1e-3)


@given(SIMILARITIES)
def test_a_crop_anywhere_can_be_cut(transform: Float64Array) -> None:
    """Even a crop wholly outside the picture has values, those of the picture's border."""
    crop = warp(np.full((40, 60), 77, np.uint8), transform)
    np.testing.assert_allclose(crop, 77)


def test_the_share_inside_the_picture_is_measured() -> None:
    """A crop half outside says so."""
    assert inside_share(similarity(1, 0, (0, 0)), 640, 480) == 1
    assert inside_share(similarity(1, 0, (128, 0)), 640, 480) == pytest.approx(0.5)
    assert inside_share(similarity(1, 0, (900, 0)), 640, 480) == 0
