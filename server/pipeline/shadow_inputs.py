"""In a worker: the inputs of a second model from what was measured for the first, whose answer they must not cost.

What both need is measured once: faces, onset and apex, and their flow where both want the same. Only the pictures of
another course are aligned for the second alone. Whatever fails is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from server.contract import FlowMethod
from server.faces.pair import AlignedSet
from server.flow.derive import flow_field
from server.flow.estimate import estimate
from server.pipeline.event_frames import at_times
from server.pipeline.jobs import ShadowInputs, ShadowJob
from server.recipes.registry import RECIPES
from server.types import EventSample, Frame, Interval

AlignCourse = Callable[[Sequence[Frame]], AlignedSet]
"""Brings frames into the crop of the movement that is being measured."""


class ShadowMaker:
    """Makes the inputs that `job` wants, beside those of `recipe` and `flow`; none where `job` is None.

    `seconds` is what that has taken; beyond `job.budget_s` nothing more is made.
    """

    def __init__(self, job: ShadowJob | None, recipe: str, flow: FlowMethod) -> None:
        self._job = job
        self._flow = flow
        self._wanted = RECIPES[job.recipe] if job else None
        self._own_course = self._wanted is not None and self._wanted.needs_more_than(RECIPES[recipe])
        self.seconds = 0.0

    def times_s(self, interval: Interval) -> list[float]:
        """When pictures are needed that the first model does not need."""
        if self._wanted is None or not self._own_course:
            return []
        return self._wanted.times_s(interval.onset_s, interval.offset_s)

    def make(
        self, sample: EventSample, align: AlignCourse, course: Sequence[Frame] = (), times_s: Sequence[float] = ()
    ) -> ShadowInputs:
        """The inputs for one movement, of which `sample` was measured and `course` is around `times_s`."""
        if self._job is None:
            return None
        if self.seconds >= self._job.budget_s:
            return "dropped"
        started = time.perf_counter()
        try:
            return self._made(self._job, sample, align, course, times_s)
        except Exception:  # noqa: BLE001 - whatever goes wrong here must not cost the answer of the other model
            return "failed"
        finally:
            self.seconds += time.perf_counter() - started

    def _made(
        self,
        job: ShadowJob,
        sample: EventSample,
        align: AlignCourse,
        course: Sequence[Frame],
        times_s: Sequence[float],
    ) -> ShadowInputs:
        if job.flow != self._flow:
            sample = replace(sample, flow=flow_field(*estimate(sample.onset, sample.apex, job.flow)))
        if self._own_course:
            sample = replace(sample, course=at_times(align(course).crops, times_s))
        return RECIPES[job.recipe].make(sample)
