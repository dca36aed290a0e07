"""From action units to the motion of the skin: which units act, their bumps, and the sum of the bumps on the grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from export.labels import LABELS
from export.synthesis.action_units import (
    ANCHORS,
    BLINK,
    BUMPS,
    COMBINATIONS,
    GAZE,
    INCIDENTAL_UNITS,
    UNITS,
)
from export.synthesis.draws import Draws
from export.synthesis.face_geometry import (
    REFERENCE_EYES_TO_MOUTH,
    REFERENCE_HALF_EYES,
    FaceGeometry,
    Grid,
)
from export.synthesis.sources import Source, draw_action_units

ALL_UNILATERAL = 0.12
INCIDENTAL_UNIT = 0.08
BLINKS = 0.28
BLINK_OPENS = 0.25
GAZE_MOVES = 0.12
ASYMMETRY = 0.3
JITTER = 0.018

MAX_ACTS = max(len(entry.acts) for entries in COMBINATIONS.values() for entry in entries)
MAX_BUMPS = max(len(bumps) for bumps in BUMPS.values())
ABSENT = -1
MOST_DRAWN = 7
"""Units of the largest prototype that a source draws, fear."""
FULL_MICRO = 0.3
"""Intensity of FACS (E is 1) that counts as 1 here, the strongest of a micro-expression in MiE-X."""


@dataclass(frozen=True, slots=True)
class Acts:
    """The units that move in each sample, [N, A]: `unit` int64 index into `UNITS` (`ABSENT` where the slot is empty),
    `intensity` float32 signed, and `sides` float32 [N, A, 2], the share of it that image-left and -right show.
    """

    unit: Tensor
    intensity: Tensor
    sides: Tensor


@dataclass(frozen=True, slots=True)
class Bumps:
    """Local motions, each float32 [N, K]: centre `x`, `y`, spread, and displacement `dx`, `dy` at the centre."""

    x: Tensor
    y: Tensor
    sigma_x: Tensor
    sigma_y: Tensor
    dx: Tensor
    dy: Tensor


def draw_acts(draws: Draws, labels: Tensor, sources: Sequence[Source] = ()) -> Acts:
    """The units of one expression of the class of each sample (`labels` int64 [N]), plus incidental movements.

    The expression is one of `COMBINATIONS`, or with `sources` one that those of MiE-X draw. Raises `OptionError` for
    a source that is none.
    """
    n = draws.samples
    if sources:
        unit, intensity, unilateral = _draw_from_sources(draws, labels, sources)
    else:
        unit, unilateral = _draw_combination(draws, labels)
        unilateral = unilateral | draws.happens(ALL_UNILATERAL)[:, None]
        intensity = draws.uniform(0.3, 1.0, MAX_ACTS)

    incidental = torch.tensor([UNITS.index(u) for u in INCIDENTAL_UNITS])[draws.integers(len(INCIDENTAL_UNITS))]
    extra = torch.stack(
        [
            torch.where(draws.happens(INCIDENTAL_UNIT), incidental, ABSENT),
            torch.where(draws.happens(BLINKS), UNITS.index(BLINK), ABSENT),
            torch.where(draws.happens(GAZE_MOVES), UNITS.index(GAZE), ABSENT),
        ],
        dim=1,
    )
    opens = torch.where(draws.happens(BLINK_OPENS), -1.0, 1.0)
    extra_intensity = torch.stack(
        [draws.uniform(0.1, 0.35), draws.uniform(0.3, 1.6) * opens, draws.uniform(0.3, 1.0)], dim=1
    )
    never = torch.zeros(n, dtype=torch.bool)
    extra_unilateral = torch.stack([draws.happens(0.5), never, never], dim=1)

    unit = torch.cat([unit, extra], dim=1)
    sides = _draw_sides(draws, torch.cat([unilateral, extra_unilateral], dim=1))
    return Acts(unit, torch.cat([intensity, extra_intensity], dim=1), sides)


def unit_intensities(acts: Acts) -> Tensor:
    """How strongly each unit moves the image-left and the image-right side: float32 [N, 2, len(UNITS)], the strongest
    absolute intensity there, 0 where it does not act.
    """
    result = torch.zeros(len(acts.unit), len(UNITS) + 1, 2)
    slots = torch.where(acts.unit == ABSENT, len(UNITS), acts.unit)[..., None].expand(acts.sides.shape)
    strength = (acts.intensity[..., None] * acts.sides).abs()
    return result.scatter_reduce(1, slots, strength, "amax")[:, :-1].transpose(1, 2).contiguous()


def place_bumps(draws: Draws, acts: Acts, face: FaceGeometry) -> Bumps:
    """Every bump of every act on both sides, with individual variation of place, size, direction and strength.

    Empty slots become bumps of zero displacement. K = A * MAX_BUMPS * 2.
    """
    table = _bump_table()
    unit = acts.unit.clamp(min=0)
    present = (acts.unit != ABSENT)[..., None] & table.used[unit]
    slots = present.shape[1:]
    amplitude = acts.intensity[..., None] * (1 + 0.3 * draws.normal(*slots)).clamp(min=0) * present
    dx, dy = _turned(draws, table.dx[unit], table.dy[unit], acts.unit == UNITS.index(GAZE))

    x, y = _centres(draws, table, unit, face)
    size = draws.uniform(0.85, 1.35)[:, None, None, None]
    sigma_x = (table.sigma_x[unit] * torch.exp(0.15 * draws.normal(*slots)))[..., None] * size
    sigma_y = (table.sigma_y[unit] * torch.exp(0.15 * draws.normal(*slots)))[..., None] * size
    strength = amplitude[..., None] * acts.sides[:, :, None, :]
    flat = (
        z.expand(strength.shape).flatten(1) for z in (x, y, sigma_x, sigma_y, dx * strength, dy[..., None] * strength)
    )
    return Bumps(*flat)


def sum_bumps(draws: Draws, bumps: Bumps, grid: Grid) -> Tensor:
    """Displacement float32 [N, 2, H, W] (u right, v down). Profiles are between Gaussian and box shaped."""
    power_x, power_y = draws.uniform(1.6, 3.0, 1, 1), draws.uniform(1.6, 4.0, 1, 1)
    along_x = _profile(grid.x, bumps.x, bumps.sigma_x, power_x)
    along_y = _profile(grid.y.transpose(1, 2), bumps.y, bumps.sigma_y, power_y)
    moved = torch.stack([bumps.dx, bumps.dy], dim=1)[..., None] * along_y[:, None]
    return moved.transpose(2, 3) @ along_x[:, None]


def _profile(axis: Tensor, centre: Tensor, sigma: Tensor, power: Tensor) -> Tensor:
    distance = ((axis - centre[..., None]) / sigma[..., None]).abs()
    return torch.exp(-0.5 * distance**power)


def _draw_combination(draws: Draws, labels: Tensor) -> tuple[Tensor, Tensor]:
    entries = [[*COMBINATIONS[label]] for label in LABELS]
    width = max(map(len, entries))
    weights = torch.zeros(len(LABELS), width)
    unit = torch.full((len(LABELS), width, MAX_ACTS), ABSENT)
    unilateral = torch.zeros(unit.shape, dtype=torch.bool)
    for i, combinations in enumerate(entries):
        for j, combination in enumerate(combinations):
            weights[i, j] = combination.weight
            for k, act in enumerate(combination.acts):
                unit[i, j, k] = UNITS.index(act.unit)
                unilateral[i, j, k] = act.unilateral
    chosen = draws.weighted(weights[labels])
    return unit[labels, chosen], unilateral[labels, chosen]


def _draw_from_sources(draws: Draws, labels: Tensor, sources: Sequence[Source]) -> tuple[Tensor, Tensor, Tensor]:
    """Units, intensities and one-sidedness [N, MOST_DRAWN] of expressions as the sources of MiE-X draw them."""
    rng = np.random.default_rng(draws.integers(1 << 31).numpy())
    unit = torch.full((draws.samples, MOST_DRAWN), ABSENT)
    intensity, unilateral = torch.zeros(unit.shape), torch.zeros(unit.shape, dtype=torch.bool)
    for i, label in enumerate(labels.tolist()):
        drawn = draw_action_units(rng, LABELS[label], sources)
        for j, (number, strength) in enumerate(drawn.intensities.items()):
            unit[i, j], intensity[i, j] = UNITS.index(number), strength / FULL_MICRO
        unilateral[i] = drawn.side != "both"
    return unit, intensity, unilateral


def _draw_sides(draws: Draws, unilateral: Tensor) -> Tensor:
    """Shares of the two sides: nearly equal, or nearly all on the side that this person moves."""
    acts = unilateral.shape[1]
    both = (1 + ASYMMETRY * draws.normal(acts, 2)).clamp(0.3, 1.6)
    strong, weak = draws.uniform(0.8, 1.0, acts), draws.uniform(0.0, 0.3, acts)
    left = draws.happens(0.5)[:, None]
    one = torch.stack([torch.where(left, strong, weak), torch.where(left, weak, strong)], dim=2)
    return torch.where(unilateral[..., None], one, both)


def _turned(draws: Draws, dx: Tensor, dy: Tensor, gaze: Tensor) -> tuple[Tensor, Tensor]:
    """Directions [N, A, B, 2] and [N, A, B], turned a little. Eyes move the same way on both sides; skin mirrors."""
    angle = draws.uniform(0, 2 * math.pi)[:, None, None]
    gaze = gaze[..., None]
    dx = torch.where(gaze, torch.cos(angle), dx)
    dy = torch.where(gaze, 0.6 * torch.sin(angle), dy)
    turn = 0.25 * draws.normal(*dx.shape[1:])
    right = dx * torch.cos(turn) - dy * torch.sin(turn)
    down = dx * torch.sin(turn) + dy * torch.cos(turn)
    return torch.stack([right, torch.where(gaze, right, -right)], dim=3), down


def _centres(draws: Draws, table: _BumpTable, unit: Tensor, face: FaceGeometry) -> tuple[Tensor, Tensor]:
    """Centres [N, A, B, 2] on both sides, with a jitter that both sides share and one of each side."""
    wide, eye_y, mouth_y, shift = (
        value[:, None, None] for value in (face.half_eyes / REFERENCE_HALF_EYES, face.eye_y, face.mouth_y, face.shift)
    )
    outward = (0.5 - table.x[unit]) * wide - JITTER * draws.normal(*table.x[unit].shape[1:])
    tall = (mouth_y - eye_y) / REFERENCE_EYES_TO_MOUTH
    line = torch.where(table.on_mouth[unit], mouth_y, eye_y)
    row = line + table.offset[unit] * tall + JITTER * draws.normal(*outward.shape[1:])
    x = 0.5 + shift[..., None] + torch.stack([-outward, outward], dim=3)
    own = 0.5 * JITTER
    return x + own * draws.normal(*x.shape[1:]), row[..., None] + own * draws.normal(*x.shape[1:])


@dataclass(frozen=True, slots=True)
class _BumpTable:
    """`BUMPS` and their anchors as tensors [units, MAX_BUMPS]."""

    used: Tensor
    x: Tensor
    on_mouth: Tensor
    offset: Tensor
    dx: Tensor
    dy: Tensor
    sigma_x: Tensor
    sigma_y: Tensor


def _bump_table() -> _BumpTable:
    rows = torch.zeros(len(UNITS), MAX_BUMPS, 8)
    rows[..., 6:] = 1.0
    for i, unit in enumerate(UNITS):
        for j, bump in enumerate(BUMPS[unit]):
            anchor = ANCHORS[bump.anchor]
            on_mouth = float(anchor.line == "mouth")
            rows[i, j] = torch.tensor(
                [1.0, anchor.x, on_mouth, anchor.offset, bump.dx, bump.dy, bump.sigma_x, bump.sigma_y]
            )
    columns = rows.unbind(2)
    return _BumpTable(columns[0] > 0, columns[1], columns[2] > 0, *columns[3:])
