"""The look of estimated flow: errors where there is little texture, and the flat patches of total variation."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from export.synthesis.draws import Draws
from export.synthesis.face_geometry import GRID, Grid

NOISE_LOW, NOISE_HIGH = 0.03, 0.30
EDGE_ARTEFACTS = 0.3
SMOOTHING = 0.035
SMOOTHING_STEPS = 30
_PRIMAL_STEP, _DUAL_STEP = 0.25, 0.5
_BLOCK = 32
"""Samples that are smoothed at once: what they need stays in the processor's cache."""


def add_noise(draws: Draws, flow: Tensor, texture: Tensor, grid: Grid) -> Tensor:
    """`flow` [N, 2, H, W] with errors of estimation, larger where `texture` [N, H, W] is low and at crop edges."""
    level = torch.exp(draws.uniform(math.log(NOISE_LOW), math.log(NOISE_HIGH), 1, 1, 1))
    texture = texture[:, None]
    smooth = 0.7 * _smooth_field(draws, 4) + 0.8 * _smooth_field(draws, 10) + 0.6 * _smooth_field(draws, 20)
    white = draws.normal(2, GRID, GRID)
    to_edge = torch.minimum(torch.minimum(grid.x, 1 - grid.x), torch.minimum(grid.y, 1 - grid.y))
    edge_level = draws.uniform(0.1, 0.5, 1, 1, 1) * draws.happens(EDGE_ARTEFACTS, 1, 1, 1)
    edge = edge_level * torch.exp(-to_edge / 0.04) * _smooth_field(draws, 10)
    return flow + level * (0.8 * smooth / (0.35 + texture) + 0.15 * white / (0.5 + texture)) + edge


def vary_texture(draws: Draws, texture: Tensor) -> Tensor:
    """`texture` [N, H, W] as lighting, skin and beard change it between people."""
    return (texture * torch.exp(0.4 * _smooth_field(draws, 8)[:, 0])).clamp(0.03, 2.0)


def smooth_like_tv_l1(draws: Draws, flow: Tensor, texture: Tensor) -> Tensor:
    """`flow` [N, 2, H, W] after total-variation smoothing that trusts pixels in proportion to `texture` [N, H, W].

    A stand-in for the regularisation of TV-L1 flow, which the published images were made with. The texture weighted
    ROF model (Rudin, Osher and Fatemi, 1992) is solved by the primal-dual steps of Chambolle and Pock (2011), whose
    extrapolation starts at the data.
    """
    strength = SMOOTHING * torch.exp(0.5 * draws.normal(1, 1))
    pull = _PRIMAL_STEP * (texture / strength)[:, None]
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(flow), _BLOCK)]
    return torch.cat([_solve(flow[block], pull[block]) for block in blocks])


def _solve(flow: Tensor, pull: Tensor) -> Tensor:
    """The minimum for `flow` [N, 2, H, W] under `pull` [N, 1, H, W], the primal step times the weight of the data."""
    data, scale = pull * flow, 1 + pull
    result = extrapolated = flow
    dual_x, dual_y = torch.zeros_like(flow), torch.zeros_like(flow)
    for _ in range(SMOOTHING_STEPS):
        dual_x[..., :-1] += _DUAL_STEP * (extrapolated[..., 1:] - extrapolated[..., :-1])
        dual_y[..., :-1, :] += _DUAL_STEP * (extrapolated[..., 1:, :] - extrapolated[..., :-1, :])
        length = (dual_x * dual_x).add_(dual_y * dual_y).sqrt_().clamp_(min=1.0)
        dual_x /= length
        dual_y /= length
        updated = _divergence(dual_x, dual_y).mul_(_PRIMAL_STEP).add_(result).add_(data).div_(scale)
        extrapolated = (2 * updated).sub_(result)
        result = updated
    return result


def _divergence(dual_x: Tensor, dual_y: Tensor) -> Tensor:
    result = dual_x + dual_y
    result[..., 1:] -= dual_x[..., :-1]
    result[..., 1:, :] -= dual_y[..., :-1, :]
    return result


def _smooth_field(draws: Draws, knots: int) -> Tensor:
    """float32 [N, 2, H, W]: normal values at `knots` x `knots` points, interpolated."""
    coarse = draws.normal(2, knots, knots)
    return functional.interpolate(coarse, size=(GRID, GRID), mode="bicubic", align_corners=False)
