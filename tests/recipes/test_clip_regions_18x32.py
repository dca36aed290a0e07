"""The recipe of the eyes and the mouth over the whole movement."""

import numpy as np
import pytest

from server.flow.derive import flow_field
from server.recipes.clip_regions_18x32 import FRAMES, LEAST_PX, MESH_POINTS, boxes, make
from server.recipes.registry import RECIPES
from server.types import EventSample

FACE = {19: (51.5, 53.2), 1: (7.1, 123.7), 15: (252.6, 123.5), 2: (8.7, 147.9), 14: (250.0, 147.9), 6: (71.3, 230.4)}


def _landmarks(points):
    landmarks = np.full((468, 2), 128, np.float32)
    for point, place in points.items():
        landmarks[MESH_POINTS[point]] = place
    return landmarks


def _sample(course, landmarks):
    blank = np.zeros((256, 256), np.float32)
    return EventSample(blank, blank, landmarks, flow_field(blank, blank), course)


def test_boxes_have_the_published_corners():
    """Eyes from (x1, y19) to (x15, y1), mouth from (x2, y2) to (x14, y6)."""
    eyes, mouth = boxes(_landmarks(FACE))
    assert eyes == (slice(53, 124), slice(7, 253))
    assert mouth == (slice(148, 230), slice(9, 250))


@pytest.mark.parametrize(
    "points",
    [
        {19: (50, 130), 1: (0, 120), 15: (250, 120), 2: (0, 200), 14: (250, 200), 6: (70, 190)},
        {19: (50, -90), 1: (-80, -20), 15: (-60, -20), 2: (300, 280), 14: (400, 280), 6: (70, 330)},
        dict.fromkeys(FACE, (0, 0)),
    ],
    ids=["upside down", "outside", "no face"],
)
def test_boxes_are_never_empty(points):
    """A head that looks down or lies half outside still has regions inside the crop."""
    for box in boxes(_landmarks(points)):
        for side in box:
            assert side.start >= 0
            assert side.stop <= 256
            assert side.stop - side.start >= LEAST_PX


def test_mouth_ends_with_the_crop():
    """The point below the lips lies beneath the aligned crop, whose last row is then the last one of the box."""
    _, (rows, _) = boxes(_landmarks(FACE | {6: (71.3, 268.6)}))
    assert rows == slice(148, 256)


def test_regions_show_what_lies_in_their_boxes():
    """The same box in every frame, in order of time, grey as it is."""
    course = np.zeros((FRAMES, 256, 256), np.float32)
    levels = np.arange(FRAMES, dtype=np.float32)
    course[:, 53:124] = 10 + levels[:, None, None]
    course[:, 148:230] = 200 + levels[:, None, None]
    made = make(_sample(course, _landmarks(FACE)))
    for name, base in (("eyes", 10), ("mouth", 200)):
        assert made[name].shape == (18, 32, 32)
        assert made[name].dtype == np.float32
        np.testing.assert_allclose(made[name], np.broadcast_to(base + levels[:, None, None], (18, 32, 32)), rtol=1e-5)


def test_recipe_asks_for_as_many_frames_as_it_makes():
    """The registry tells the pipeline how many pictures to take."""
    recipe = RECIPES["clip_regions_18x32"]
    assert recipe.frames == recipe.dims["eyes"][0] == recipe.dims["mouth"][0] == 18
