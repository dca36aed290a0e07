"""Estimation errors and total-variation smoothing."""

from __future__ import annotations

import pytest
import torch

from export.synthesis.draws import Draws
from export.synthesis.face_geometry import Grid, draw_geometry, texture_map
from export.synthesis.flow_noise import add_noise, smooth_like_tv_l1, vary_texture


def _roughness(flow: torch.Tensor) -> float:
    return float(flow.diff(dim=3).abs().mean())


def test_smoothing_keeps_steps_and_removes_grain() -> None:
    """Total variation takes noise out of a step and leaves the step where it was."""
    torch.manual_seed(0)
    step = torch.zeros(8, 2, 56, 56)
    step[..., 28:] = 1.0
    noisy = step + 0.2 * torch.randn_like(step)
    smooth = smooth_like_tv_l1(Draws(8, (0,)), noisy, torch.full((8, 56, 56), 0.12))
    assert (smooth - step).abs().mean() < 0.5 * (noisy - step).abs().mean()
    assert (smooth[..., 32:].mean() - smooth[..., :24].mean()) > 0.8


def test_constant_flow_is_left_alone() -> None:
    """A pure translation is already as smooth as it can be."""
    flow = torch.full((2, 2, 56, 56), 0.7)
    torch.testing.assert_close(smooth_like_tv_l1(Draws(2, (0,)), flow, torch.full((2, 56, 56), 0.5)), flow)


def test_samples_are_smoothed_alike_whoever_is_beside_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks of any size the bits are the same."""
    flow = torch.randn(40, 2, 56, 56, generator=torch.Generator().manual_seed(0))
    texture = torch.rand(40, 56, 56, generator=torch.Generator().manual_seed(1)) + 0.03
    usual = smooth_like_tv_l1(Draws(40, (0,)), flow, texture)
    for block in (1, 40):
        monkeypatch.setattr("export.synthesis.flow_noise._BLOCK", block)
        assert torch.equal(smooth_like_tv_l1(Draws(40, (0,)), flow, texture), usual)


def test_textured_pixels_are_trusted_more() -> None:
    """Where there is texture the smoothed flow stays close to the measured one."""
    flow = torch.randn(4, 2, 56, 56, generator=torch.Generator().manual_seed(0))
    texture = torch.full((4, 56, 56), 0.05)
    texture[:, :, 28:] = 1.5
    change = (smooth_like_tv_l1(Draws(4, (0,)), flow, texture) - flow).abs()
    assert change[..., 30:].mean() < 0.5 * change[..., :26].mean()


def test_noise_is_larger_on_bare_skin() -> None:
    """Errors grow where there is nothing to track."""
    flow = torch.zeros(200, 2, 56, 56)
    texture = torch.full((200, 56, 56), 0.05)
    texture[:, :, 28:] = 1.5
    noise = add_noise(Draws(200, (1,)), flow, texture, Grid.build())
    inner = noise[:, :, 14:42]
    assert inner[..., 30:50].std() < 0.6 * inner[..., 6:26].std()


def test_texture_is_on_the_features() -> None:
    """Eyes and mouth carry more texture than cheeks, in every face, and variation keeps it positive."""
    draws, grid = Draws(16, (3,)), Grid.build()
    face = draw_geometry(draws)
    texture = texture_map(face, grid)
    mouth = (face.mouth_y * 56).long()
    assert (texture[torch.arange(16), mouth, 28] > 2 * texture[:, 34, 4]).all()
    assert vary_texture(draws, texture).min() >= 0.03
