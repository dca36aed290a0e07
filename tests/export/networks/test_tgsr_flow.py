"""The linear network of regional flow statistics."""

from __future__ import annotations

import math

import pytest
import torch

from export.networks.tgsr_flow import DIRECTIONS, REGIONS, STATISTICS, RegionStatistics, TGSRFlow, project_on_simplex
from server.errors import OptionError


def _statistics(images: torch.Tensor) -> torch.Tensor:
    return RegionStatistics()(images).reshape(len(images), REGIONS, STATISTICS)


def test_uniform_motion_fills_the_bin_of_its_direction_everywhere() -> None:
    """Motion to the right has its largest share in the first direction of all 85 regions, and its mean as u."""
    images = torch.zeros(1, 3, 28, 28)
    images[:, 0] = 2.0
    found = _statistics(images)[0]
    assert (found[:, :DIRECTIONS].argmax(1) == 0).all()
    torch.testing.assert_close(found[:, DIRECTIONS], torch.full((REGIONS,), 0.5))
    torch.testing.assert_close(found[:, DIRECTIONS + 1], torch.zeros(REGIONS))
    torch.testing.assert_close(found[:, -1], torch.full((REGIONS,), 0.5))
    assert found[:, :DIRECTIONS].sum(1).lt(1).all()
    assert found[:, :DIRECTIONS].sum(1).gt(0.9).all()


def test_regions_are_listed_by_grid_and_row() -> None:
    """Motion in the upper right quarter is seen by the whole, by the second of four, and by the fourth of sixteen."""
    images = torch.zeros(1, 3, 28, 28)
    images[:, 1, :14, 14:] = 1.0
    energy = _statistics(images)[0, :, -1] > 0.01
    assert energy[:5].tolist() == [True, False, True, False, False]
    assert energy[5:21].reshape(4, 4).tolist() == [[False, False, True, True]] * 2 + [[False] * 4] * 2


def test_cells_that_cut_pixels_share_them() -> None:
    """Eight cells of three and a half pixels have the means of the whole image as their mean."""
    images = torch.randn(3, 3, 28, 28)
    found = _statistics(images)[:, :, DIRECTIONS : DIRECTIONS + 3]
    for cells in (slice(1, 5), slice(5, 21), slice(21, 85)):
        torch.testing.assert_close(found[:, cells].mean(1), found[:, 0], atol=1e-5, rtol=0)


def test_no_motion_gives_no_share_to_any_direction() -> None:
    """A still face is not divided by nothing."""
    found = _statistics(torch.zeros(1, 3, 28, 28))
    assert torch.isfinite(found).all()
    assert found[..., :DIRECTIONS].abs().max() == 0


def test_probabilities_are_the_nearest_point_of_the_simplex() -> None:
    """No point of a fine grid over the simplex is nearer to the scores, and the order of the scores stays."""
    torch.manual_seed(0)
    scores = torch.randn(50, 3)
    found = project_on_simplex(scores)
    torch.testing.assert_close(found.sum(1), torch.ones(50))
    steps = torch.arange(101) / 100
    first, second = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack([first, second, 1 - first - second], dim=2).reshape(-1, 3)
    points = points[points[:, 2] >= -1e-6]
    best = torch.cdist(scores, points).amin(1)
    assert ((scores - found).norm(dim=1) <= best + 1e-5).all()
    assert (found.argmax(1) == scores.argmax(1)).all()


def test_softmax_of_the_logits_is_the_projection() -> None:
    """So the graph that surrounds every network serves the probabilities of the paper."""
    network = TGSRFlow().eval()
    torch.manual_seed(0)
    with torch.no_grad():
        network.coefficients.normal_(0, 0.05)
        images = torch.randn(6, 3, 28, 28)
        expected = project_on_simplex(network.statistics(images) @ network.coefficients)
        torch.testing.assert_close(torch.softmax(network(images), 1), expected, atol=1e-6, rtol=0)


def test_it_is_not_trained_by_gradients() -> None:
    """Training mode is refused with the command that fits it."""
    with pytest.raises(OptionError, match="glimpse-export adapt tgsr_flow"):
        TGSRFlow().train()(torch.zeros(1, 3, 28, 28))


def test_directions_go_around_in_eight_steps() -> None:
    """The third of eight directions is downwards, where v is positive."""
    images = torch.zeros(1, 3, 28, 28)
    images[:, 1] = math.e
    assert _statistics(images)[0, 0, :DIRECTIONS].argmax() == 2
