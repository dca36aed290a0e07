"""The recipe of MOL."""

from __future__ import annotations

import numpy as np

from server.flow.derive import flow_field
from server.recipes.frames_8x128 import FRAMES, make
from server.types import EventSample


def _made(course):
    blank = np.zeros((256, 256), np.float32)
    return make(EventSample(blank, blank, np.zeros((468, 2), np.float32), flow_field(blank, blank), course))["video"]


def test_frames_keep_their_order_and_their_greys():
    """Frame by frame a uniform picture stays what it is."""
    course = np.broadcast_to(np.arange(FRAMES, dtype=np.float32)[:, None, None] * 30, (FRAMES, 256, 256))
    video = _made(course)
    assert video.shape == (1, 8, 128, 128)
    assert video.dtype == np.float32
    assert (video[0] == course[:, ::2, ::2]).all()


def test_a_pixel_is_the_mean_of_four():
    """What lies at row 10, column 21 of the crop is a quarter of row 5, column 10."""
    course = np.zeros((FRAMES, 256, 256), np.float32)
    course[3, 10, 21] = 200
    video = _made(course)
    assert video[0, 3, 5, 10] == 50
    assert video.sum() == 50
