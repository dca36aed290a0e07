"""Recipes of several models at once."""

import numpy as np
import pytest

from server.recipes.composition import composed_name, tensor_names
from server.recipes.registry import RECIPES
from server.types import EventSample, FlowField

RANDOM = np.random.default_rng(0)
U, V = RANDOM.normal(size=(2, 256, 256)).astype(np.float32)
LANDMARKS = (128 + 40 * RANDOM.normal(size=(468, 2))).clip(70, 190).astype(np.float32)


def sample(*courses):
    """One movement with a course for each of the numbers of frames."""
    pictures = RANDOM.uniform(0, 255, (2, 256, 256)).astype(np.float32)
    course = np.concatenate([np.zeros((0, 256, 256), np.float32), *courses])
    return EventSample(pictures[0], pictures[1], LANDMARKS, FlowField(U, V, np.hypot(U, V)), course)


def course(frames):
    """Pictures that differ."""
    return RANDOM.uniform(0, 255, (frames, 256, 256)).astype(np.float32)


def test_a_composed_recipe_gives_what_its_parts_give():
    """Inputs that one part alone has keep their names, and the values are those of the part by itself."""
    recipe = RECIPES["flow_uvs_28+clip_gray_18x64"]
    whole = sample(course(18))
    made = recipe.make(whole)
    assert {name: value.shape for name, value in made.items()} == dict(recipe.dims)
    assert set(made) == {"flow", "clip"}
    assert np.array_equal(made["flow"], RECIPES["flow_uvs_28"].make(whole)["flow"])
    assert np.array_equal(made["clip"], RECIPES["clip_gray_18x64"].make(whole)["clip"])


def test_each_part_gets_its_own_frames():
    """Parts that want different numbers of frames get them one after the other, each at its own times."""
    recipe = RECIPES["frames_8x128+flow_uvs_28+clip_gray_18x64"]
    first, second = course(8), course(18)
    made = recipe.make(sample(first, second))
    assert np.array_equal(made["video"], RECIPES["frames_8x128"].make(sample(first))["video"])
    assert np.array_equal(made["clip"], RECIPES["clip_gray_18x64"].make(sample(second))["clip"])
    assert (recipe.frames, recipe.courses) == (26, (8, 18))
    times = recipe.times_s(1.0, 2.0)
    assert times == pytest.approx([*np.linspace(1, 2, 8), *np.linspace(1, 2, 18)])


def test_an_input_that_several_parts_have_is_prefixed():
    """Two kinds of flow are told apart by their recipes."""
    recipe = RECIPES["flow_uvs_28+flow_uvs_28_iod"]
    assert set(recipe.dims) == {"flow_uvs_28.flow", "flow_uvs_28_iod.flow"}
    made = recipe.make(sample())
    assert np.array_equal(made["flow_uvs_28_iod.flow"], RECIPES["flow_uvs_28_iod"].make(sample())["flow"])
    assert recipe.frames == 0


def test_parts_must_be_known_and_differ():
    """A name with an unknown, an empty or a repeated part is no recipe; the plain ones are what is listed."""
    for name in ("flow_uvs_28+nothing", "flow_uvs_28+", "+", "flow_uvs_28+flow_uvs_28"):
        assert name not in RECIPES
    assert "flow_uvs_28+lbp_top_85" in RECIPES
    assert not any("+" in name for name in RECIPES)
    assert len(RECIPES) == len(set(RECIPES))


def test_members_of_one_recipe_share_its_inputs():
    """The same recipe is named and computed once."""
    assert composed_name(["flow_uvs_28", "frames_8x128", "flow_uvs_28"]) == "flow_uvs_28+frames_8x128"
    assert tensor_names({"flow_uvs_28": ["flow"]}) == {("flow_uvs_28", "flow"): "flow"}
