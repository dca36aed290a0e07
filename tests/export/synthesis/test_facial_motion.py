"""From action units to skin motion: directions, places and sides."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from export.labels import LABELS
from export.synthesis.action_units import GAZE, UNITS
from export.synthesis.draws import Draws
from export.synthesis.face_geometry import Grid, draw_geometry
from export.synthesis.facial_motion import ABSENT, Acts, draw_acts, place_bumps, sum_bumps, unit_intensities

SAMPLES = 256
ROWS = {"brows": slice(4, 12), "mouth": slice(40, 50), "cheeks": slice(28, 42)}


def _motion(unit: int, *, sides: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    """Mean motion [2, 56, 56] of one unit at full intensity."""
    draws = Draws(SAMPLES, (5, unit))
    acts = Acts(
        unit=torch.full((SAMPLES, 1), UNITS.index(unit)),
        intensity=torch.ones(SAMPLES, 1),
        sides=torch.tensor(sides).expand(SAMPLES, 1, 2),
    )
    face = draw_geometry(draws)
    return sum_bumps(draws, place_bumps(draws, acts, face), Grid.build()).mean(0)


@pytest.mark.parametrize(
    ("unit", "rows", "down"),
    [(1, "brows", -1), (2, "brows", -1), (4, "brows", 1), (12, "cheeks", -1), (15, "mouth", 1), (6, "cheeks", -1)],
)
def test_unit_moves_the_skin_in_its_direction(unit: int, rows: str, down: int) -> None:
    """Brow raisers go up and the lowerer down; a smile lifts the cheeks; the depressor pulls the mouth down."""
    v = _motion(unit)[1, ROWS[rows]]
    assert v.abs().max() > 0.1
    strongest = v.flatten()[v.abs().argmax()]
    assert torch.sign(strongest) == down


def test_smile_pulls_outward_on_both_sides() -> None:
    """In a smile the image-left half moves left and the image-right half moves right."""
    u = _motion(12)[0, ROWS["cheeks"]]
    assert u[:, :28].mean() < -0.02
    assert u[:, 28:].mean() > 0.02


def test_two_sided_unit_is_symmetric_on_average() -> None:
    """Mirroring a two-sided unit and negating u gives the same mean motion, but for the scatter of 256 faces."""
    motion = _motion(12)
    mirrored = motion.flip(2) * torch.tensor([-1.0, 1.0])[:, None, None]
    assert (motion - mirrored).abs().max() < 0.25 * motion.abs().max()


def test_one_sided_unit_moves_one_side() -> None:
    """With all of the intensity on the left, the right half hardly moves."""
    motion = _motion(14, sides=(1.0, 0.0)).abs().sum(0)
    assert motion[:, 34:].max() < 0.1 * motion[:, :22].max()


def test_eyes_look_the_same_way() -> None:
    """Gaze is not mirrored: both eyes of one sample go left or both go right."""
    draws = Draws(SAMPLES, (1,))
    acts = Acts(torch.full((SAMPLES, 1), UNITS.index(GAZE)), torch.ones(SAMPLES, 1), torch.ones(SAMPLES, 1, 2))
    bumps = place_bumps(draws, acts, draw_geometry(draws))
    used = bumps.dx.abs() > 1e-6
    assert (used.sum(1) <= 2).all()
    left, right = bumps.dx[:, 0], bumps.dx[:, 1]
    assert (left * right >= 0).all()


def test_empty_slots_do_not_move() -> None:
    """A face on which no unit acts is still."""
    draws = Draws(4, (0,))
    acts = Acts(torch.full((4, 2), ABSENT), torch.ones(4, 2), torch.ones(4, 2, 2))
    assert not sum_bumps(draws, place_bumps(draws, acts, draw_geometry(draws)), Grid.build()).any()


def test_each_class_shows_its_units() -> None:
    """Smiles have unit 12 or 6, surprise 1, 2, 5, 25 or 26; lowered brows are common in the negative class alone."""
    labels = torch.arange(3).repeat_interleave(400)
    shown = unit_intensities(draw_acts(Draws(len(labels), (2,)), labels)).amax(1) > 0.3

    def share(label: str, *units: int) -> float:
        rows = labels == LABELS.index(label)
        return float(shown[rows][:, [UNITS.index(unit) for unit in units]].any(1).float().mean())

    assert share("positive", 12, 6) > 0.95
    assert share("surprise", 1, 2, 5, 25, 26) > 0.95
    assert share("negative", 4) > 0.4
    assert share("positive", 4) < 0.05


def test_intensity_is_the_strongest_of_a_unit_that_occurs_twice() -> None:
    """Two acts of one unit count once on each side, with the larger absolute strength; empty slots count nowhere."""
    unit = torch.tensor([[UNITS.index(12), UNITS.index(12), ABSENT]])
    sides = torch.tensor([[[1.0, 1.0], [0.2, 1.0], [1.0, 1.0]]])
    result = unit_intensities(Acts(unit, torch.tensor([[0.3, -0.7, 0.9]]), sides))
    assert result.shape == (1, 2, len(UNITS))
    assert result[0, :, UNITS.index(12)].tolist() == pytest.approx([0.3, 0.7])
    assert result.sum() == pytest.approx(1.0)
