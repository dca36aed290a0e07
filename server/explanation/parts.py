"""The parts of a movement that are hidden one by one, and what a model is asked with for each: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from server.types import Float32Array, Side


@dataclass(frozen=True, slots=True)
class Part:
    """A region of the face, or the motion of one action unit wherever it shows; `side` is that of the picture."""

    kind: Literal["region", "action-unit"]
    name: str
    side: Side


@dataclass(frozen=True, slots=True)
class Occlusion:
    """The inputs that explain the answer to one movement.

    `inputs` are float32 [1 + P + G * G, ...] by name: first those of the movement as it is, then one for each of
    `parts` that is hidden, then one for each place of a grid of `cells` = G a side on the crop, row by row; of no grid
    where that is 0.
    """

    parts: tuple[Part, ...]
    cells: int
    inputs: Mapping[str, Float32Array]
