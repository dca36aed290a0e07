"""One movement, from the frames around its onset and apex to the inputs of a network."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from server.contract import FlowMethod
from server.errors import FaceLost
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.faces.pair import AlignedSet, align_those_seen, align_to
from server.flow.contraction import contraction
from server.flow.derive import flow_field
from server.flow.estimate import estimate
from server.pipeline.caveats import evidence_of
from server.pipeline.event_frames import EventFrames, at_times
from server.pipeline.event_pictures import event_pictures
from server.pipeline.jobs import StageTime
from server.recipes.registry import RECIPES
from server.spotting.intervals import STILL_IOD
from server.spotting.signal import displacement_between
from server.types import Contraction, EventSample, Evidence, Float32Array, Float64Array, Frame, Interval
from server.visuals import EventPictures


class StageClock:
    """Seconds spent in each stage, by one thread, and from when to when."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._spans: dict[tuple[str, str], tuple[float, float, float]] = {}
        self._part = ""

    @property
    def timeline(self) -> tuple[StageTime, ...]:
        """Each stage in each part, the parts themselves among them."""
        return tuple(StageTime(stage, part, *times) for (part, stage), times in self._spans.items())

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the duration of the block to `stage`."""
        start = time.monotonic()
        try:
            yield
        finally:
            seconds = self._add(stage, start)
            self.seconds[stage] += seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is done in the block belongs to a part of the whole, such as a pass over a clip."""
        start = time.monotonic()
        self._part = name
        try:
            yield
        finally:
            self._part = ""
            self._add(name, start)

    def _add(self, stage: str, start: float) -> float:
        end = time.monotonic()
        began, _, busy_s = self._spans.get((self._part, stage), (start, end, 0.0))
        self._spans[self._part, stage] = (began, end, busy_s + end - start)
        return end - start

    def add(self, other: StageClock) -> None:
        """Take in what another thread has spent."""
        for stage, seconds in other.seconds.items():
            self.seconds[stage] += seconds


@dataclass(frozen=True, slots=True)
class Measured:
    """One onset-apex pair: how it was aligned, what the network gets, and how far each action unit may have gone."""

    aligned: AlignedSet
    sample: EventSample
    inputs: Mapping[str, Float32Array]
    contraction: Contraction


@dataclass(frozen=True, slots=True)
class Movement:
    """What was measured of a spotted movement; `still` where it is no more than noise explains."""

    interval: Interval
    measured: Measured
    evidence: Evidence
    still: bool

    @classmethod
    def of(cls, measured: Measured, interval: Interval, fps: float) -> Movement:
        """What the pictures of `measured` say of a movement with these bounds, among `fps` frames per second."""
        still = interval.peak_iod < STILL_IOD
        return cls(interval, measured, evidence_of(measured.aligned, fps, still=still, interval=interval), still)


class Pictures(Protocol):
    """Where the frames of a movement come from: the second pass over a clip, or the store of a stream."""

    def frames(self, indices: Sequence[int], time_s: float) -> list[Frame]:
        """The first of `indices`, whose time is given, or what is nearest to it, and those others that are there.

        Raises `FaceLost` where nothing is near.
        """
        ...

    def there(self, indices: Sequence[int]) -> list[Frame]:
        """Those of `indices` that are there."""
        ...


class Measurer:
    """Aligns the frames of a movement with each other and measures the flow between them."""

    def __init__(self, detector: FaceDetector, landmarker: FaceLandmarker) -> None:
        self._detector = detector
        self._landmarker = landmarker

    def measure(
        self,
        onset: list[Frame],
        apex: list[Frame],
        wanted: tuple[str, FlowMethod],
        clock: StageClock,
        *,
        near: Float64Array | None = None,
        course: Sequence[Frame] = (),
        times_s: Sequence[float] = (),
        of: tuple[Interval, float] | None = None,
    ) -> Measured:
        """The inputs that a recipe makes of one movement.

        Args:
            onset: the frame at the onset first, then those next to it that are averaged with it.
            apex: the same for the apex.
            wanted: recipe and flow estimator.
            clock: what the parts take is added to it.
            near: the frame-to-crop transform float64 [2, 3] of the face at the onset; without it the largest is meant.
            course: frames between which the pictures at `times_s` lie, for recipes of a whole movement.
            times_s: as the recipe asked for them.
            of: the movement and the frames per second around it, for recipes that ask for them.

        Raises `NoFace` and `FaceLost` as `faces.pair.align_to` does.
        """
        recipe_name, flow_method = wanted
        with clock.time("faces"):
            aligned = self.align(onset[0], [*onset[1:], *apex, *course], near=near)
        crops = [aligned.anchor, *aligned.crops]
        pair = len(onset) + len(apex)
        first, last = (_mean([crop.gray for crop in part]) for part in (crops[: len(onset)], crops[len(onset) : pair]))
        with clock.time("flow"):
            flow = flow_field(*estimate(first, last, flow_method))
            moved_units = contraction(flow, aligned.landmarks_crop)
        with clock.time("recipes"):
            recipe = RECIPES[recipe_name]
            sample = EventSample(first, last, aligned.landmarks_crop, flow, at_times(crops[pair:], times_s))
            if recipe.tracked and of is not None:
                interval, fps = of
                moved_regions = displacement_between(aligned.anchor, crops[len(onset)], aligned.landmarks_crop)
                moments_s = (interval.onset_s, interval.apex_s, interval.offset_s)
                sample = replace(sample, times_s=moments_s, fps=fps, displacement=moved_regions)
            inputs = recipe.make(sample)
        return Measured(aligned, sample, inputs, moved_units)

    def movement(
        self, plan: EventFrames, pictures: Pictures, wanted: tuple[str, FlowMethod], fps: float, clock: StageClock
    ) -> Movement:
        """Measure what was spotted, `plan.interval`, in a clip or stream of `fps` frames per second.

        Raises `FaceLost` where its pictures are gone, else as `measure`.
        """
        with clock.time("decode"):
            onset = pictures.frames(plan.onset, plan.interval.onset_s)
            apex = pictures.frames(plan.apex, plan.interval.apex_s)
            course = pictures.there(plan.course)
        if plan.course and not course:
            raise FaceLost("the pictures of the movement are no longer kept", stage="live")
        of = (plan.interval, fps)
        measured = self.measure(onset, apex, wanted, clock, near=plan.near, course=course, times_s=plan.times_s, of=of)
        return Movement.of(measured, plan.interval, fps)

    def align(self, anchor: Frame, frames: Sequence[Frame], *, near: Float64Array | None = None) -> AlignedSet:
        """`faces.pair.align_to` with the networks at hand."""
        return align_to(anchor, frames, self._landmarker, self._detector, near=near)

    def pictures(self, plan: EventFrames, pictures: Pictures, sample: EventSample) -> EventPictures:
        """What can be seen of a movement that was measured as `sample`."""
        onset, *_ = pictures.there(plan.onset)
        course = [(frame, plan.log.transform_at(frame.index)) for frame in pictures.there(plan.shown)]
        crops = align_those_seen(onset, course, self._landmarker, self._detector, plan.near)
        return event_pictures(sample, crops)


def _mean(pictures: list[Float32Array]) -> Float32Array:
    return np.asarray(np.mean(pictures, axis=0), dtype=np.float32)
