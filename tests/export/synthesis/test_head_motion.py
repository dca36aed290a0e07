"""Head motion and background."""

from __future__ import annotations

import torch

from export.synthesis.draws import Draws
from export.synthesis.face_geometry import Grid, draw_geometry
from export.synthesis.head_motion import head_motion, still_background


def test_head_motion_has_no_preferred_direction() -> None:
    """Over many samples the mean motion is small against its spread."""
    draws = Draws(2000, (0,))
    motion = head_motion(draws, draw_geometry(draws), Grid.build())
    assert motion.shape == (2000, 2, 56, 56)
    assert (motion.mean(0).abs() < 0.1 * motion.std(0)).all()


def test_background_is_still_in_some_samples_only() -> None:
    """About a quarter of the crops show background; there the lower corners move less than the centre."""
    flow = torch.ones(400, 2, 56, 56)
    kept = still_background(Draws(400, (1,)), flow, Grid.build())
    touched = kept[:, 0, -1, 0] < 0.95
    assert 0.1 < touched.float().mean() < 0.35
    assert (kept[:, 0, 28, 28] > 0.95).all()
