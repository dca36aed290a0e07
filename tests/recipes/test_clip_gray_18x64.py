"""The recipe of the whole face over the whole movement."""

import numpy as np

from server.flow.derive import flow_field
from server.recipes.clip_gray_18x64 import FRAMES, make
from server.recipes.registry import RECIPES
from server.types import EventSample


def _sample(course):
    blank = np.zeros((256, 256), np.float32)
    return EventSample(blank, blank, np.zeros((468, 2), np.float32), flow_field(blank, blank), course)


def test_frames_keep_their_order_and_their_grey():
    """Each picture of the movement is one of the clip, its level unchanged."""
    course = np.ones((FRAMES, 256, 256), np.float32) * np.linspace(10, 250, FRAMES, dtype=np.float32)[:, None, None]
    clip = make(_sample(course))["clip"]
    assert clip.shape == (18, 64, 64)
    assert clip.dtype == np.float32
    np.testing.assert_allclose(clip, course[:, :64, :64], rtol=1e-6)


def test_picture_is_the_face_square_averaged():
    """Cells of 3 px of rows 48..240 and columns 32..224; what lies outside does not count."""
    course = np.full((FRAMES, 256, 256), 255, np.float32)
    square = np.random.default_rng(0).uniform(0, 255, (192, 192)).astype(np.float32)
    course[:, 48:240, 32:224] = square
    clip = make(_sample(course))["clip"]
    np.testing.assert_allclose(clip[7], square.reshape(64, 3, 64, 3).mean((1, 3)), rtol=1e-4)


def test_recipe_asks_for_as_many_frames_as_it_makes():
    """The registry tells the pipeline how many pictures to take."""
    recipe = RECIPES["clip_gray_18x64"]
    assert recipe.frames == recipe.dims["clip"][0] == 18
