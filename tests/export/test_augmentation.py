"""Variation during training."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from export import augmentation
from export.augmentation import augment, swap_sides


def test_strain_is_not_negated_and_u_is() -> None:
    """Mirroring flips the image and the sign of u alone."""
    torch.manual_seed(0)
    images = torch.rand(64, 3, 28, 28) + 1.0
    varied, mirrored = augmentation._mirrored(images)
    assert torch.equal(mirrored, varied[:, 0].amax((1, 2)) < 0)
    assert 0.25 < mirrored.float().mean() < 0.75
    torch.testing.assert_close(varied[mirrored][:, 1:], images[mirrored][:, 1:].flip(3))
    torch.testing.assert_close(varied[~mirrored], images[~mirrored])


def _image_with_dot() -> Tensor:
    images = torch.zeros(256, 3, 28, 28)
    images[:, :, 14, 14] = 1.0
    return images


def test_no_share_leaves_only_the_mirroring() -> None:
    """Variation is in proportion to its share, down to none."""
    torch.manual_seed(0)
    images = torch.rand(16, 3, 28, 28)
    varied, mirrored = augment(images, share=0.0)
    torch.testing.assert_close(varied[~mirrored], images[~mirrored])


def test_images_move_by_about_two_pixels() -> None:
    """A dot in the middle stays within three pixels of where it was."""
    torch.manual_seed(0)
    moved = augmentation._moved(_image_with_dot(), 1.0)[:, 2]
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    weight = moved.sum((1, 2))
    x, y = (moved * columns).sum((1, 2)) / weight, (moved * rows).sum((1, 2)) / weight
    assert (x - 14).abs().max() < 3
    assert (y - 14).abs().max() < 3
    assert x.std() > 0.7


def test_offset_leaves_strain_alone() -> None:
    """Strain has a true zero, so it is scaled but never shifted."""
    torch.manual_seed(0)
    varied = augmentation._rescaled(torch.zeros(32, 3, 28, 28), 1.0)
    assert not varied[:, 2].any()
    assert varied[:, :2].std() == pytest.approx(0.1, rel=0.4)


def test_noise_is_bounded_in_level() -> None:
    """Noise has at most 0.15 of the spread of white plus smooth noise."""
    torch.manual_seed(0)
    noise = augmentation._noisy(torch.zeros(64, 3, 28, 28), 1.0)
    assert 0.02 < noise.std() < 0.15


def test_input_is_not_changed() -> None:
    """The originals stay as they are for the next epoch."""
    images = torch.rand(8, 3, 28, 28)
    before = images.clone()
    varied = augment(images)
    assert varied.images.shape == images.shape
    assert varied.mirrored.shape == (8,)
    assert torch.equal(images, before)


def test_sides_change_places_where_the_image_is_mirrored() -> None:
    """What moved on the left of the original moves on the right of its mirror image, and nowhere else."""
    units = torch.rand(3, 2, 5)
    swapped = swap_sides(units, torch.tensor([True, False, True]))
    assert torch.equal(swapped[1], units[1])
    assert torch.equal(swapped[[0, 2]], units[[0, 2]].flip(1))
