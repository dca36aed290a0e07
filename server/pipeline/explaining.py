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
_FLOAT_BYTES = 4


class Occluder:
    """Makes what explains movements for `job`, with the inputs of `recipe`; nothing where none is `wanted`."""

    def __init__(self, job: ExplainJob | None, recipe: str) -> None:
        self._until = (job.until if job else None) or 0.0
        self._recipe = RECIPES[recipe]
        floats = sum(int(np.prod(dims)) for dims in self._recipe.dims.values())
        self._each = _FLOAT_BYTES * floats * most_variants(self._recipe.cells)
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
            cells=self._recipe.cells,
            go_on=lambda: time.monotonic() < self._until,
        )
