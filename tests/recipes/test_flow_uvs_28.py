"""The recipe of the shallow flow networks."""

import numpy as np

from server.flow.derive import flow_field
from server.recipes.flow_uvs_28 import DIMS, make
from server.recipes.registry import RECIPES
from server.types import EventSample


def _sample(u, v, frames=0):
    blank = np.zeros((256, 256), np.float32)
    course = np.zeros((frames, 256, 256), np.float32)
    return EventSample(blank, blank, np.zeros((468, 2), np.float32), flow_field(u, v), course)


def test_planes_are_stretched_each_by_itself():
    """u, v and strain each span exactly 0..255."""
    y, x = np.mgrid[:256, :256].astype(np.float32)
    u = np.exp(-((x - 90) ** 2 + (y - 90) ** 2) / 800).astype(np.float32)
    tensor = make(_sample(u, -3 * u))["flow"]
    assert tensor.shape == (3, 28, 28)
    assert tensor.dtype == np.float32
    assert np.allclose(tensor.min(axis=(1, 2)), 0)
    assert np.allclose(tensor.max(axis=(1, 2)), 255, atol=1e-3)


def test_motion_lands_where_the_published_images_have_it():
    """The image-left eye centre of the crop, (70.4, 96), is at 0.2 of the width and 0.25 of the height."""
    u = np.zeros((256, 256), np.float32)
    u[94:99, 68:73] = 1
    tensor = make(_sample(u, np.zeros_like(u)))["flow"]
    row, column = np.unravel_index(int(np.argmax(tensor[0])), (28, 28))
    assert abs((column + 0.5) / 28 - 0.2) < 1 / 28
    assert abs((row + 0.5) / 28 - 0.25) < 1 / 28


def test_no_motion_is_zero_and_finite():
    """A face that did not move gives zeros, not a division by zero."""
    blank = np.zeros((256, 256), np.float32)
    assert not make(_sample(blank, blank))["flow"].any()


def test_every_registered_recipe_states_its_shapes():
    """The registry's dims are what the recipe makes."""
    blank = np.zeros((256, 256), np.float32)
    for recipe in RECIPES.values():
        made = recipe.make(_sample(blank, blank, recipe.frames))
        assert {name: value.shape for name, value in made.items()} == dict(recipe.dims)
    assert dict(DIMS) == dict(RECIPES["flow_uvs_28"].dims)
