"""Where the features of a face lie in the aligned crop, and which of them carry texture.

Crop units: 0..1, x to the right, y down. The distributions are those of aligned micro-expression crops with the eye
centres near x .2 and .8 and y .25.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from export.synthesis.draws import Draws

GRID = 56
"""Side of the grid on which motion is made; the networks' 28 x 28 images are its 2 x 2 means."""

REFERENCE_HALF_EYES = 0.30
REFERENCE_EYES_TO_MOUTH = 0.565


@dataclass(frozen=True, slots=True)
class FaceGeometry:
    """One face per sample, each field float32 [N]: rows of the eye and mouth lines, half the distance of the eye
    centres, and the sideways shift of the midline from the centre of the crop.
    """

    eye_y: Tensor
    mouth_y: Tensor
    half_eyes: Tensor
    shift: Tensor


@dataclass(frozen=True, slots=True)
class Grid:
    """Pixel centres, float32 [1, 1, W] and [1, H, 1], in crop units."""

    x: Tensor
    y: Tensor

    @classmethod
    def build(cls) -> Grid:
        """The grid of `GRID` x `GRID` pixels."""
        centres = (torch.arange(GRID) + 0.5) / GRID
        return cls(centres[None, None, :], centres[None, :, None])

    def gaussian(self, x: Tensor | float, y: Tensor | float, sigma_x: float, sigma_y: float) -> Tensor:
        """A bump of height 1 around `x`, `y` (numbers or [N, 1, 1]): float32 [N or 1, H, W]."""
        return torch.exp(-(((self.x - x) / sigma_x) ** 2) / 2 - ((self.y - y) / sigma_y) ** 2 / 2)


def draw_geometry(draws: Draws) -> FaceGeometry:
    """Faces as they vary between people and between alignments."""
    eye_y = (0.225 + 0.035 * draws.normal()).clamp(0.13, 0.31)
    mouth_y = (eye_y + REFERENCE_EYES_TO_MOUTH + 0.03 * draws.normal()).clamp(0.68, 0.88)
    half_eyes = (REFERENCE_HALF_EYES + 0.018 * draws.normal()).clamp(0.25, 0.35)
    return FaceGeometry(eye_y, mouth_y, half_eyes, 0.02 * draws.normal())


def texture_map(face: FaceGeometry, grid: Grid) -> Tensor:
    """How well motion can be measured at each pixel: high on eyes, brows, mouth and nose, low on cheeks and forehead.

    float32 [N, H, W], 0.12 on bare skin, about 1 on the eyes.
    """
    eye_y, mouth_y, half = (value[:, None, None] for value in (face.eye_y, face.mouth_y, face.half_eyes))
    eyes = grid.gaussian(0.5 - half, eye_y, 0.09, 0.05) + grid.gaussian(0.5 + half, eye_y, 0.09, 0.05)
    brow_y = eye_y - 0.115
    brows = grid.gaussian(0.5 - 0.85 * half, brow_y, 0.13, 0.03) + grid.gaussian(0.5 + 0.85 * half, brow_y, 0.13, 0.03)
    nose_tip = grid.gaussian(0.5, mouth_y - 0.2, 0.12, 0.05)
    nose_ridge = grid.gaussian(0.5, eye_y + 0.15, 0.06, 0.2)
    mouth = grid.gaussian(0.5, mouth_y, 0.14, 0.04)
    return 0.12 + eyes + 0.8 * brows + 0.5 * nose_tip + 0.15 * nose_ridge + 0.9 * mouth
