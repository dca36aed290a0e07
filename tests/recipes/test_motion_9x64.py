"""The recipe of what moves at each step of the movement."""

import cv2
import numpy as np

from server.flow.derive import flow_field
from server.recipes.motion_9x64 import FRAMES, flow_levels, make, strain_percent
from server.recipes.registry import RECIPES
from server.types import EventSample

ROWS, COLUMNS = np.mgrid[:256, :256].astype(np.float32)


def _texture():
    noise = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip(128 + 40 * smooth / smooth.std(), 0, 255)


def _sample(course):
    blank = np.zeros((256, 256), np.float32)
    return EventSample(blank, blank, np.zeros((468, 2), np.float32), flow_field(blank, blank), course)


def _shifted(picture, right, down):
    return cv2.remap(picture, COLUMNS - right, ROWS - down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def test_still_face_is_the_middle_level_and_no_strain():
    """Nothing moves: u', v' and m' are 128 everywhere and strain is 0."""
    made = make(_sample(np.stack([_texture()] * FRAMES)))
    assert {name: value.shape for name, value in made.items()} == dict(RECIPES["motion_9x64"].dims)
    assert {value.dtype for value in made.values()} == {np.dtype(np.float32)}
    assert (made["flow"] == 128).all()
    assert not made["strain"].any()


def test_motion_is_of_each_step_with_its_direction():
    """1.5 px of the crop is 1 px of the square at 128 px: 16 levels to the right in one step, upwards in another."""
    texture = _texture()
    course = np.stack([texture] * FRAMES)
    course[4:] = _shifted(texture, 1.5, 0)
    course[7:] = _shifted(texture, 1.5, -1.5)
    levels = np.median(make(_sample(course))["flow"], axis=(2, 3))
    np.testing.assert_allclose(levels[3], [144, 128, 144], atol=2)
    np.testing.assert_allclose(levels[6], [128, 112, 144], atol=2)
    np.testing.assert_allclose(np.delete(levels, [3, 6], axis=0), 128, atol=0.5)


def test_face_is_that_at_the_end_of_each_step():
    """The first picture only begins a step."""
    course = np.ones((FRAMES, 256, 256), np.float32) * np.arange(FRAMES, dtype=np.float32)[:, None, None] * 20
    gray = make(_sample(course))["gray"]
    assert gray.shape == (9, 1, 64, 64)
    np.testing.assert_allclose(gray[:, 0, 30, 30], 20 * np.arange(1, FRAMES), rtol=1e-6)


def test_levels_are_cut_off_at_both_ends():
    """Motion beyond 8 px saturates, the magnitude upwards only."""
    u = np.array([[0.0, 1.0, -3.0, 90.0, -90.0]], np.float32)
    levels = flow_levels(u, 0 * u)
    assert levels[0].tolist() == [[128, 144, 80, 255, 0]]
    assert levels[1].tolist() == [[128] * 5]
    assert levels[2].tolist() == [[128, 144, 176, 255, 255]]


def test_strain_is_that_of_backward_differences():
    """A stretch of 3 % to the side is 3, a shear of 2 % is 2 / sqrt 2, a shift none; a tear is cut off at 100."""
    still = np.zeros((8, 8), np.float32)
    columns = np.arange(8, dtype=np.float32)[None].repeat(8, 0)
    stretched = strain_percent(0.03 * columns, still)
    assert not stretched[:, 0].any()
    np.testing.assert_allclose(stretched[:, 1:], 3, rtol=1e-4)
    np.testing.assert_allclose(strain_percent(still, 0.02 * columns)[:, 1:], 2 / np.sqrt(2), rtol=1e-4)
    assert not strain_percent(still + 5, still - 3).any()
    assert strain_percent(40 * columns, still).max() == 100


def test_recipe_asks_for_one_frame_more_than_steps():
    """Ten pictures have nine steps between them."""
    recipe = RECIPES["motion_9x64"]
    assert (recipe.frames, recipe.dims["flow"][0]) == (10, 9)
