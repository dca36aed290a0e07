"""Variation of normalised flow images during training. Draws come from torch's global generator."""

from __future__ import annotations

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


def augment(images: Tensor) -> Tensor:
    """A varied copy of `images` float32 [N, 3, 28, 28] (u, v, strain; zero motion is 0)."""
    return _noisy(_rescaled(_moved(_mirrored(images))))


def _mirrored(images: Tensor) -> Tensor:
    chosen = (torch.rand(len(images)) < 0.5)[:, None, None, None]
    return torch.where(chosen, images.flip(3) * _MIRROR_SIGNS, images)


def _moved(images: Tensor) -> Tensor:
    n = len(images)
    angle = ROTATION_RAD * torch.randn(n)
    scale = 1 + SCALE * torch.randn(n, 2)
    shift = (2 * torch.rand(n, 2) - 1) * SHIFT_PX * 2 / images.shape[-1]
    rows = (
        torch.stack([scale[:, 0], -angle, shift[:, 0]], dim=1),
        torch.stack([angle, scale[:, 1], shift[:, 1]], dim=1),
    )
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _rescaled(images: Tensor) -> Tensor:
    n = len(images)
    gain = torch.exp(GAIN * torch.randn(n, 3, 1, 1))
    offset = OFFSET * torch.randn(n, 3, 1, 1)
    offset[:, 2] = 0
    return images * gain + offset


def _noisy(images: Tensor) -> Tensor:
    n = len(images)
    smooth = functional.interpolate(torch.randn(n, 3, 7, 7), size=images.shape[2:], mode="bilinear")
    return images + NOISE * torch.rand(n, 1, 1, 1) * (0.5 * torch.randn_like(images) + smooth)
