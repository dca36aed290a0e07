"""What moves besides the face's muscles: the head itself, and the background that does not move with it."""

from __future__ import annotations

import torch
from torch import Tensor

from export.synthesis.draws import Draws
from export.synthesis.face_geometry import FaceGeometry, Grid

BACKGROUND_SHOWS = 0.25


def head_motion(draws: Draws, face: FaceGeometry, grid: Grid) -> Tensor:
    """Displacement float32 [N, 2, H, W] of a head that alignment did not hold perfectly still.

    Translation, rotation in the picture, change of distance, shear, and yaw and pitch, in which the nose moves
    against the rest of the face.
    """
    strength = draws.uniform(0, 1, 1, 1) ** 1.5

    def part(spread: float) -> Tensor:
        return strength * draws.normal(1, 1) * spread

    right, down = part(0.6), part(0.8)
    turn, nearer, yaw, pitch, shear = (part(spread) for spread in (0.5, 0.35, 0.35, 0.35, 0.25))
    x, y = grid.x - 0.5, grid.y - 0.5
    nose = grid.gaussian(0.5, face.eye_y[:, None, None] + 0.33, 0.18, 0.25) - 0.4
    u = right - turn * y + nearer * x + yaw * nose + shear * x * y * 2
    v = down + turn * x + nearer * y + pitch * nose + shear * y.abs()
    return torch.stack([u, v], dim=1)


def still_background(draws: Draws, flow: Tensor, grid: Grid) -> Tensor:
    """Fade `flow` [N, 2, H, W] out beyond a soft oval in those samples whose crop shows what is behind the head."""
    below = draws.uniform(0.42, 0.62, 1, 1)
    height = torch.where(grid.y > 0.5, below, 2.0)
    width = draws.uniform(0.50, 0.62, 1, 1)
    beyond = ((grid.x - 0.5) / width) ** 2 + ((grid.y - 0.5).clamp(min=0) / height) ** 2 - 1
    cover = torch.sigmoid(beyond * draws.uniform(6, 20, 1, 1)) * draws.uniform(0.2, 1.0, 1, 1)
    cover = cover * draws.happens(BACKGROUND_SHOWS, 1, 1)
    return flow * (1 - cover[:, None])
