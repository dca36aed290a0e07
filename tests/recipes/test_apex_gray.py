"""The recipes that show the face at the apex."""

import numpy as np
import pytest

from server.flow.derive import flow_field
from server.recipes import apex_gray_128, apex_gray_224
from server.recipes.registry import RECIPES
from server.types import EventSample


def _sample(apex):
    blank = np.zeros((256, 256), np.float32)
    return EventSample(blank, apex, np.zeros((468, 2), np.float32), flow_field(blank, blank))


@pytest.mark.parametrize(("recipe", "side"), [(apex_gray_128, 128), (apex_gray_224, 224)])
def test_eyes_lie_at_fifths_of_the_width_and_a_quarter_down(recipe, side):
    """The spot at the image-left eye centre of the crop, (70.4, 96), is found there, and grey levels are kept."""
    y, x = np.mgrid[:256, :256].astype(np.float32)
    apex = 200 * np.exp(-((x - 70.4) ** 2 + (y - 96) ** 2) / 50).astype(np.float32)
    face = recipe.make(_sample(apex))["apex"]
    assert face.dtype == np.float32
    assert face.shape == (1, side, side)
    row, column = np.unravel_index(int(face[0].argmax()), face[0].shape)
    assert abs((column + 0.5) / side - 0.2) < 1 / side
    assert abs((row + 0.5) / side - 0.25) < 1 / side
    assert 180 < face.max() <= 200


@pytest.mark.parametrize("name", ["apex_gray_128", "apex_gray_224"])
def test_nothing_but_the_apex_is_asked_for(name):
    """Two pictures can be classified as well as a clip, and an even face stays one."""
    recipe = RECIPES[name]
    assert recipe.frames == 0
    assert (recipe.make(_sample(np.full((256, 256), 37.0, np.float32)))["apex"] == 37).all()
