"""Which frames one movement is measured on, and what lies between two of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from server.pipeline.facelog import FaceLog
from server.types import CROP_SIZE_PX, Crop, Float32Array, Float64Array, Interval

_AVERAGE_S = 0.0101
"""Frames within this of the onset and of the apex are averaged: the face stands still there, the noise does not."""


@dataclass(frozen=True, slots=True)
class EventFrames:
    """The frames of the clip that one movement is measured on, the onset and the apex themselves first; `course` are
    those between which the picture at each of `times_s` lies, `shadow` those of `shadow_times_s`, which a second model
    wants, and `shown` those that the caller wants to see. `near` is the frame-to-crop transform float64 [2, 3] of the
    face at the onset.
    """

    log: FaceLog
    interval: Interval
    onset: list[int]
    apex: list[int]
    course: list[int]
    times_s: list[float]
    shadow: list[int]
    shadow_times_s: list[float]
    near: Float64Array
    shown: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, log: FaceLog, interval: Interval, times_s: list[float], shadow_times_s: list[float]) -> EventFrames:
        """Those of `interval`, with what is needed for the pictures at `times_s` between its onset and its offset."""
        onset, apex = (log.neighbours(frame, _AVERAGE_S) for frame in (interval.onset_frame, interval.apex_frame))
        around, beside = (
            sorted({frame for time_s in times for frame in log.around(time_s)}) for times in (times_s, shadow_times_s)
        )
        near = log.transform_at(interval.onset_frame)
        return cls(log, interval, onset, apex, around, times_s, beside, shadow_times_s, near)

    @property
    def frames(self) -> list[int]:
        """All of them, some twice."""
        return [*self.onset, *self.apex, *self.course, *self.shadow, *self.shown]

    @property
    def first(self) -> int:
        """From which frame on pictures must be held."""
        return min(self.frames)

    @property
    def last(self) -> int:
        """With which frame the movement can be measured."""
        return max(self.frames)


def at_times(crops: Sequence[Crop], times_s: Sequence[float]) -> Float32Array:
    """The picture at each of `times_s`, between the two of `crops`, in order, that are next: float32 [T, 256, 256]."""
    pictures = np.zeros((len(times_s), CROP_SIZE_PX, CROP_SIZE_PX), np.float32)
    known = [crop.time_s for crop in crops]
    for picture, time_s in zip(pictures, times_s, strict=True):
        after = min(bisect_left(known, time_s), len(crops) - 1)
        before = max(after - 1, 0) if known[after] > time_s else after
        gap = known[after] - known[before]
        share = (time_s - known[before]) / gap if gap > 0 else 0.0
        picture[:] = (1 - share) * crops[before].gray + share * crops[after].gray
    return pictures
