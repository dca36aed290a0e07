"""Variation of normalised flow images during training.

Draws come from torch's global generator of the CPU, whatever device the images are on, so that one seed means one
sequence of variations.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

SHIFT_PX = 2.0
SCALE = 0.08
ROTATION_RAD = 0.03
GAIN = 0.15
OFFSET = 0.1
NOISE = 0.15
_MIRROR_SIGNS = torch.tensor([-1.0, 1.0, 1.0])[:, None, None]


class Varied(NamedTuple):
    """`images` float32 [N, 3, 28, 28], and bool [N], which of them were mirrored: their sides have changed places."""

    images: Tensor
    mirrored: Tensor


def augment(images: Tensor, share: float = 1.0) -> Varied:
    """A varied copy of `images` float32 [N, 3, 28, 28] (u, v, strain; zero motion is 0).

    `share` of all variation but the mirroring, of which there is no half.
    """
    mirrored, chosen = _mirrored(images)
    return Varied(_noisy(_rescaled(_moved(mirrored, share), share), share), chosen)


def swap_sides(units: Tensor, mirrored: Tensor) -> Tensor:
    """`units` [N, 2, units] of image-left and image-right as they are in images of which `mirrored` bool [N] are."""
    return torch.where(mirrored[:, None, None], units.flip(1), units)


def _mirrored(images: Tensor) -> tuple[Tensor, Tensor]:
    chosen = (torch.rand(len(images)) < 0.5).to(images.device)
    flipped = images.flip(3) * _MIRROR_SIGNS.to(images.device)
    return torch.where(chosen[:, None, None, None], flipped, images), chosen


def _moved(images: Tensor, share: float) -> Tensor:
    n = len(images)
    angle = share * ROTATION_RAD * torch.randn(n)
    scale = 1 + share * SCALE * torch.randn(n, 2)
    shift = (2 * torch.rand(n, 2) - 1) * share * SHIFT_PX * 2 / images.shape[-1]
    rows = (
        torch.stack([scale[:, 0], -angle, shift[:, 0]], dim=1),
        torch.stack([angle, scale[:, 1], shift[:, 1]], dim=1),
    )
    turn = torch.stack(rows, dim=1).to(images.device)
    grid = functional.affine_grid(turn, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _rescaled(images: Tensor, share: float) -> Tensor:
    n = len(images)
    gain = torch.exp(share * GAIN * torch.randn(n, 3, 1, 1))
    offset = share * OFFSET * torch.randn(n, 3, 1, 1)
    offset[:, 2] = 0
    return images * gain.to(images.device) + offset.to(images.device)


def _noisy(images: Tensor, share: float) -> Tensor:
    n = len(images)
    smooth = functional.interpolate(torch.randn(n, 3, 7, 7), size=images.shape[2:], mode="bilinear")
    level = share * NOISE * torch.rand(n, 1, 1, 1)
    return images + (level * (0.5 * torch.randn(images.shape) + smooth)).to(images.device)
