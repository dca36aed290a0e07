"""The recipe that shows a movement to a language model."""

import numpy as np
import pytest

from server.flow.derive import flow_field
from server.recipes.mllm_frames import DIMS, FRAMES, FULL_PX, REGIONS, flow_colours, make
from server.recipes.registry import RECIPES
from server.spotting.signal import REGIONS as TRACKED
from server.types import EventSample

BLANK = np.zeros((256, 256), np.float32)


def test_what_was_seen_and_measured_is_handed_on():
    """Onset, apex and the end of the course as they are; times from the onset on; the displacement."""
    course = np.stack([np.full_like(BLANK, 7), np.full_like(BLANK, 9)])
    displacement = np.linspace(-0.1, 0.1, 2 * REGIONS, dtype=np.float32).reshape(REGIONS, 2)
    sample = EventSample(
        BLANK + 1,
        BLANK + 2,
        np.zeros((468, 2), np.float32),
        flow_field(BLANK, BLANK),
        course,
        times_s=(10.0, 10.1, 10.25),
        fps=200.0,
        displacement=displacement,
    )
    made = make(sample)
    assert {name: (value.shape, value.dtype) for name, value in made.items()} == {
        name: (shape, np.float32) for name, shape in DIMS.items()
    }
    assert [picture.mean() for picture in made["pictures"]] == [1, 2, 9]
    np.testing.assert_allclose(made["timing"], [100, 250, 200], rtol=1e-5)
    np.testing.assert_array_equal(made["displacement"], displacement)
    assert (made["flow_picture"][:, :, :256] == 255).all()
    assert (made["flow_picture"][:, :, 256:] < 255).any()


@pytest.mark.parametrize(
    ("u", "v", "rgb"),
    [
        (0.0, 0.0, (255, 255, 255)),
        (FULL_PX, 0.0, (255, 0, 0)),
        (-FULL_PX, 0.0, (0, 255, 255)),
        (0.0, FULL_PX, (128, 255, 0)),
        (0.0, -FULL_PX, (128, 0, 255)),
        (50 * FULL_PX, 0.0, (255, 0, 0)),
        (FULL_PX / 2, 0.0, (255, 127, 127)),
    ],
)
def test_colours_tell_direction_and_length(u, v, rgb):
    """At one scale for all movements: white is still, full colour is 3 px or more."""
    colours = flow_colours(np.full((2, 2), u, np.float32), np.full((2, 2), v, np.float32))
    np.testing.assert_allclose(colours[:, 0, 0], rgb, atol=2)


def test_it_fits_what_the_stages_measure():
    """As many regions as the tracker follows, and the two ends of the course."""
    recipe = RECIPES["mllm_frames"]
    assert len(TRACKED) == REGIONS
    assert (recipe.frames, recipe.tracked, dict(recipe.dims)) == (FRAMES, True, dict(DIMS))
