"""The recipe of transfer group sparse regression, against a literal LBP-TOP."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
import pytest

from server.flow.derive import flow_field
from server.recipes.lbp_top_85 import FRAMES, TIE, make, uniform_bins
from server.types import EventSample


def _made(course):
    blank = np.zeros((256, 256), np.float32)
    return make(EventSample(blank, blank, np.zeros((468, 2), np.float32), flow_field(blank, blank), course))["features"]


def _moving(seed=0):
    """Smooth blobs that drift."""
    random = np.random.default_rng(seed)
    noise = np.stack([cv2.GaussianBlur(frame, (0, 0), 6) for frame in random.normal(size=(FRAMES, 256, 256))])
    return (128 + 1500 * (noise + noise[:1]) + 5 * np.arange(FRAMES)[:, None, None]).astype(np.float32)


@functools.cache
def _literal_bin(code):
    """The bin of a code, by walking around its circle."""

    def changes(pattern):
        return sum((pattern >> i & 1) != (pattern >> (i + 1) % 8 & 1) for i in range(8))

    return sum(changes(other) <= 2 for other in range(code)) if changes(code) <= 2 else 58


def _neighbours(axes):
    """The eight around a pixel: the pixels that each lies between, as steps from the centre, and their weights."""
    for neighbour in range(8):
        place = np.zeros(3)
        place[axes[0]] -= 3 * math.sin(math.pi * neighbour / 4)
        place[axes[1]] += 3 * math.cos(math.pi * neighbour / 4)
        low = np.floor(place + 1e-9).astype(int)
        share = place - low
        weighted = [
            (tuple((low + corner).tolist()), math.prod(s if c else 1 - s for s, c in zip(share, corner, strict=True)))
            for corner in np.ndindex(2, 2, 2)
        ]
        yield [(*step, float(weight)) for step, weight in weighted if weight > 1e-9]


def _literal_histogram(clip, axes, rows, columns):
    """Pixel by pixel and neighbour by neighbour."""
    around = list(_neighbours(axes))
    grey = clip.tolist()
    histogram = np.zeros(59)
    for t in range(3, FRAMES - 3):
        for y in rows:
            for x in columns:
                code = 0
                for neighbour, between in enumerate(around):
                    value = sum(weight * grey[t + dt][y + dy][x + dx] for dt, dy, dx, weight in between)
                    code |= int(value >= grey[t][y][x] - TIE) << neighbour
                histogram[_literal_bin(code)] += 1
    return histogram


@pytest.mark.parametrize("plane", range(3))
def test_histograms_are_those_of_a_literal_count(plane):
    """A cell within, a cell in the corner, and the four cells of a coarser grid, in each of the planes."""
    course = _moving()
    clip = np.stack([cv2.resize(frame, (112, 112), interpolation=cv2.INTER_AREA) for frame in course]).astype(float)
    found = _made(course)[:, 59 * plane : 59 * plane + 59]
    axes = ((1, 2), (0, 2), (0, 1))[plane]
    inner = _literal_histogram(clip, axes, range(28, 42), range(70, 84))
    # A neighbour that is as bright as the centre to the last digit may count either way.
    np.testing.assert_allclose(found[21 + 8 * 2 + 5], inner / inner.sum(), atol=2.1 / inner.sum())
    corner = _literal_histogram(clip, axes, range(98, 109), range(3, 14))
    np.testing.assert_allclose(found[21 + 8 * 7], corner / corner.sum(), atol=2.1 / corner.sum())
    parts = corner + sum(
        _literal_histogram(clip, axes, rows, columns)
        for rows, columns in (
            (range(84, 98), range(3, 14)),
            (range(84, 98), range(14, 28)),
            (range(98, 109), range(14, 28)),
        )
    )
    np.testing.assert_allclose(found[5 + 4 * 3], parts / parts.sum(), atol=2.1 / parts.sum())


def test_uniform_codes_ascend_and_others_share_a_bin():
    """58 codes have a bin of their own in ascending order, 198 fall into the last."""
    bins = uniform_bins()
    assert bins.tolist() == [_literal_bin(code) for code in range(256)]
    assert (bins == 58).sum() == 198


def test_each_plane_of_each_region_sums_to_one():
    """So every region sums to three, as the authors' files do."""
    found = _made(_moving(1))
    assert found.shape == (85, 177)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.reshape(85, 3, 59).sum(2), 1, atol=1e-5)


@pytest.mark.parametrize("grey", [0.0, 127.3, 255.0])
def test_flat_skin_is_one_pattern(grey):
    """Where nothing differs all neighbours are equal, whatever the rounding: code 255, the last uniform one."""
    found = _made(np.full((FRAMES, 256, 256), grey, np.float32)).reshape(85, 3, 59)
    assert (found[:, :, 57] == 1).all()


def test_a_still_texture_has_motion_in_no_plane():
    """Without a change in time the neighbours before and after are equal to the centre in both planes of time."""
    still = np.broadcast_to(_moving(2)[:1], (FRAMES, 256, 256))
    found = _made(np.ascontiguousarray(still)).reshape(85, 3, 59)
    # In XT and YT the directly earlier and later neighbours are bits 2 and 6, which are always set.
    without = [code for code in range(256) if uniform_bins()[code] < 58 and code & 0b01000100 != 0b01000100]
    assert found[:, 1:, uniform_bins()[without]].max() == 0
    assert found[:, 0, uniform_bins()[without]].max() > 0


def test_brightness_as_a_whole_does_not_matter():
    """Patterns compare grey levels, so a lamp that is brighter changes nothing but ties."""
    course = _moving(3)
    assert np.abs(_made(course) - _made(course + 40)).max() < 0.02
