"""In a worker: what a model will be asked with so that its answers can be explained, as far as time and room last."""

from __future__ import annotations

import time

import numpy as np

from server.explanation.occlude import most_variants, occlude
from server.explanation.parts import Occlusion
from server.flow.contraction import FULL_MOTION, MIRRORED
from server.pipeline.jobs import ExplainJob
from server.recipes.registry import RECIPES
from server.types import Contraction, EventSample

MOST_BYTES = 64 * 1024 * 1024
"""Of the inputs of all movements of a clip together; they cross the pipe to the gateway as one message."""
_GRIDS = (0, 4, 8, 16)
_FLOAT_BYTES = 4


class Occluder:
    """Makes what explains each of the `movements` of a clip for `job`, with the inputs of `recipe`; nothing where none
    is `wanted`. Where a map of each would not fit, maps are coarser, or left out.
    """

    def __init__(self, job: ExplainJob | None, recipe: str, movements: int = 1) -> None:
        self._until = (job.until if job else None) or 0.0
        self._recipe = RECIPES[recipe]
        one = _FLOAT_BYTES * sum(int(np.prod(dims)) for dims in self._recipe.dims.values())
        finest = [cells for cells in _GRIDS if cells <= self._recipe.cells]
        fitting = [cells for cells in finest if movements * one * most_variants(cells) <= MOST_BYTES]
        self._cells = max(fitting, default=0)
        self._each = one * most_variants(self._cells)
        self._room = MOST_BYTES

    @property
    def wanted(self) -> bool:
        """Whether anything is to be made."""
        return self._until > 0

    def make(self, sample: EventSample, went: Contraction) -> Occlusion | None:
        """What explains one movement, of which `went` is how far each action unit went; None where there is no room or
        no time for it. Whole explanations alone: a part of one would pass for all of it.
        """
        if not self.wanted or self._each > self._room:
            return None
        self._room -= self._each
        return occlude(
            sample,
            self._recipe.make_within,
            went,
            FULL_MOTION,
            MIRRORED,
            cells=self._cells,
            go_on=lambda: time.monotonic() < self._until,
        )
