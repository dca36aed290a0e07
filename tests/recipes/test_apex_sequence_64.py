"""The recipe of ATNet, and the flow from step to step."""

import cv2
import numpy as np

from server.flow.derive import flow_field
from server.recipes import apex_gray_224
from server.recipes.apex_sequence_64 import DIMS, FRAMES, make
from server.recipes.registry import RECIPES
from server.types import EventSample

BLANK = np.zeros((256, 256), np.float32)
Y, X = np.mgrid[:256, :256].astype(np.float32)


def _texture(dx, dy):
    """A picture with structure at several scales, moved by (dx, dy) px to the right and down."""
    x, y = X - dx, Y - dy
    waves = np.sin(x / 5) + np.sin(y / 6) + np.sin((x + y) / 9) + np.sin((x - 2 * y) / 13)
    return (128 + 25 * waves).astype(np.float32)


def _sample(course):
    return EventSample(
        BLANK, _texture(1, 0), np.zeros((468, 2), np.float32), flow_field(BLANK, BLANK), np.asarray(course)
    )


def _moving(dx, dy):
    return [_texture(number * dx, number * dy) for number in range(FRAMES)]


def test_course_is_last_and_zeros_lead():
    """64 rows, of which the last 32 are the steps of the 33 pictures, beside the apex."""
    made = make(_sample(_moving(0.3, 0.0)))
    assert {name: value.shape for name, value in made.items()} == DIMS
    sequence = made["sequence"]
    assert sequence.dtype == np.float32
    assert not sequence[:32].any()
    assert sequence[32:].any(axis=1).all()
    expected = apex_gray_224.make(_sample(np.zeros((FRAMES, 256, 256), np.float32)))["apex"]
    np.testing.assert_array_equal(made["apex"], expected)


def test_direction_and_magnitude_take_turns():
    """Down by 0.3 px of the crop: a direction of a quarter turn, and 0.35 px of the square that is a sixth larger."""
    rows = make(_sample(_moving(0.0, 0.3)))["sequence"][32:]
    inner = np.add.outer(8 * np.arange(1, 7), np.arange(1, 7)).ravel()
    np.testing.assert_allclose(rows[:, 0::2][:, inner], np.pi / 2, atol=0.05)
    np.testing.assert_allclose(rows[:, 1::2][:, inner], 0.35, atol=0.01)


def test_cells_lie_row_by_row():
    """Where only the cell of row 2, column 5 of the 8 x 8 moves, its pair has the largest magnitude."""
    mask = np.zeros((256, 256), np.float32)
    mask[48 + 48 : 48 + 72, 32 + 120 : 32 + 144] = 1
    mask = cv2.GaussianBlur(mask, (0, 0), 4)
    course = [_texture(number * 0.2 * mask, 0) for number in range(FRAMES)]
    magnitudes = make(_sample(course))["sequence"][32:, 1::2].mean(0)
    assert int(magnitudes.argmax()) == 8 * 2 + 5
    assert magnitudes.max() > 3 * np.median(magnitudes)


def test_stillness_is_zero_everywhere():
    """A face that lies still does not move, at its edges no more than in its middle."""
    assert make(_sample([_texture(0, 0)] * FRAMES))["sequence"][:, 1::2].max() < 1e-3


def test_recipe_is_registered_with_its_frames():
    """The service gathers as many pictures as it takes."""
    assert RECIPES["apex_sequence_64"].frames == FRAMES
