"""Where something is hidden on the crop."""

from __future__ import annotations

import numpy as np
import pytest

from server.explanation.masks import HALVES, REGIONS, cell_mask, has_sides, region_mask
from tests.explanation.faces import landmarks


@pytest.mark.parametrize("name", sorted(REGIONS))
def test_a_region_is_hidden_around_its_points_and_nowhere_else(name: str) -> None:
    """1 near every point that lies in the crop, 0 half an eye distance away from all of them, else between."""
    points = landmarks()[[point for side in REGIONS[name] for point in side]]
    mask = region_mask(landmarks(), name, "both")
    assert (mask.shape, mask.dtype) == ((256, 256), np.float32)
    assert 0 <= mask.min() <= mask.max() <= 1
    y, x = np.mgrid[:256, :256]
    nearest = np.min([np.hypot(x - px, y - py) for px, py in points], axis=0)
    assert mask[nearest < 20].min() == 1
    enclosed = np.ptp(points, axis=0).max()
    assert mask[nearest > 48 + enclosed / 2].max(initial=0) == 0


@pytest.mark.parametrize("name", sorted(name for name in REGIONS if has_sides(name)))
def test_both_sides_are_the_two_sides(name: str) -> None:
    """The mask of both is the larger of theirs, and they are mirror images."""
    both, left, right = (region_mask(landmarks(), name, side) for side in ("both", "left", "right"))
    np.testing.assert_array_equal(both, np.maximum(left, right))
    np.testing.assert_allclose(left[:, ::-1], right, atol=0.06)


def test_the_halves_divide_the_face() -> None:
    """Together they hide everything once; brows are above the line, the mouth is below it."""
    upper, lower = (region_mask(landmarks(), name, "both") for name in HALVES)
    np.testing.assert_allclose(upper + lower, 1, atol=1e-6)
    assert (upper[70, 60], lower[70, 60]) == (1, 0)
    assert (upper[200, 128], lower[200, 128]) == (0, 1)


def test_a_region_beyond_the_crop_is_hidden_as_far_as_it_lies_within() -> None:
    """The chin lies below the aligned crop, and its mask ends at the border."""
    points = landmarks()
    points[[199, 200]] = [[126, 262], [126, 270]]
    mask = region_mask(points, "chin", "both")
    assert mask[-1, 126] == 1
    assert mask[:200].max() == 0


@pytest.mark.parametrize("cells", [4, 8, 16])
def test_every_place_is_hidden_by_some_cell(cells: int) -> None:
    """No pixel escapes the grid, and each cell hides what is near it alone."""
    masks = [cell_mask(row, column, cells) for row in range(cells) for column in range(cells)]
    assert np.max(masks, axis=0).min() == 1
    assert masks[0][:8, :8].min() == 1
    assert masks[0][128:].max() == 0
