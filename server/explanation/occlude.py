"""All that is hidden of one movement, one thing after the other: regions, action units, places of a grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from server.explanation.hiding import UnitMotion, hide_area, hide_unit
from server.explanation.masks import HALVES, REGIONS, cell_mask, has_sides, region_mask
from server.explanation.parts import Occlusion, Part
from server.types import Contraction, EventSample, Float32Array, Side

MOST_UNITS = 8
LEAST_SHARE = 0.05
"""A unit that went a smaller share of its full motion is not asked about: noise goes as far."""
_ONE_SIDED = 0.5
_SIDES: Mapping[Side, tuple[Side, ...]] = {"left": ("left",), "right": ("right",), "both": ("left", "right")}

Make = Callable[[EventSample, EventSample], Mapping[str, Float32Array]]
"""A recipe for the first sample, which is the second one with a part of it hidden."""


def region_parts() -> tuple[Part, ...]:
    """Every region: as a whole, and each side of those that have two; and the upper and the lower face."""
    sides: tuple[Side, ...] = ("both", "left", "right")
    names = (*HALVES, *REGIONS)
    return tuple(Part("region", name, side) for name in names for side in sides if side == "both" or has_sides(name))


def unit_parts(went: Contraction) -> tuple[Part, ...]:
    """The action units that moved, at most `MOST_UNITS`, those that went farthest of their full motion first.

    On both sides, unless one went less than half as far as the other.
    """
    moved = sorted(((max(shares), unit) for unit, shares in went.items()), key=lambda each: (-each[0], each[1]))
    chosen = [unit for share, unit in moved[:MOST_UNITS] if share >= LEAST_SHARE]
    return tuple(Part("action-unit", f"AU{unit}", _side(*went[unit])) for unit in chosen)


def most_variants(cells: int) -> int:
    """How many samples a model is asked about at most, for a grid of `cells` a side."""
    return 1 + len(region_parts()) + MOST_UNITS + cells * cells


def occlude(
    sample: EventSample,
    make: Make,
    went: Contraction,
    motions: Mapping[int, UnitMotion],
    mirrored: Mapping[int, int],
    *,
    cells: int,
    go_on: Callable[[], bool] = lambda: True,
) -> Occlusion | None:
    """What a model is asked with in order to explain its answer to `sample`.

    Args:
        sample: the movement.
        make: the recipe.
        went: how far each action unit went, as `server.flow.contraction` measures it.
        motions: the motion of each unit of `went`.
        mirrored: the twin on the right of each point of the mesh on the left.
        cells: side of the grid of places.
        go_on: asked before each sample; None is the answer once it says no.
    """
    parts = (*region_parts(), *unit_parts(went))
    made: dict[str, Float32Array] = {}
    for row, variant in enumerate(_variants(sample, parts, motions, mirrored, cells)):
        if not go_on():
            return None
        for name, value in make(variant, sample).items():
            if name not in made:
                made[name] = np.empty((1 + len(parts) + cells * cells, *value.shape), np.float32)
            made[name][row] = value
    return Occlusion(parts, cells, made)


def _variants(
    sample: EventSample,
    parts: tuple[Part, ...],
    motions: Mapping[int, UnitMotion],
    mirrored: Mapping[int, int],
    cells: int,
) -> Iterator[EventSample]:
    yield sample
    for part in parts:
        if part.kind == "region":
            yield hide_area(sample, region_mask(sample.landmarks_crop, part.name, part.side))
        else:
            motion = motions[int(part.name.removeprefix("AU"))]
            yield hide_unit(sample, motion, mirrored, _SIDES[part.side])
    for row in range(cells):
        for column in range(cells):
            yield hide_area(sample, cell_mask(row, column, cells))


def _side(left: float, right: float) -> Side:
    if min(left, right) >= _ONE_SIDED * max(left, right):
        return "both"
    return "left" if left > right else "right"
