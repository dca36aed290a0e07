"""What a caller may see of one event: the pictures that were measured, their flow, and the face over its course.

Nothing is encoded: numbers of a grid travel as they are, in base64, so that no reader needs a decoder of pictures.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import cv2
import numpy as np

from server.pipeline.facelog import FaceLog
from server.types import CROP_SIZE_PX, Crop, EventSample, Float32Array, Interval, ReportWarning
from server.visuals import EventPictures, Field, Picture

MOST_EVENTS = 32
"""Of so many events a report has pictures, the first ones: 830 kB of JSON each."""
GRID_PX = CROP_SIZE_PX // 2
"""Side of fields and of the pictures of a course."""
_FRAMES = 24
_BESIDE_S = 0.1
_INT16 = 32767


def course_frames(log: FaceLog, interval: Interval) -> list[int]:
    """The frames of a course, in order: onset and apex, and others that lie evenly from a tenth of a second before the
    onset to as long after the offset, as far as the face is in view.
    """
    there = log.within(interval.onset_s - _BESIDE_S, interval.offset_s + _BESIDE_S)
    marks = {interval.onset_frame, interval.apex_frame}
    evenly = np.linspace(0, len(there) - 1, min(len(there), _FRAMES - len(marks)))
    return sorted(marks | {there[round(place)] for place in evenly.tolist()})


def event_pictures(sample: EventSample, course: Sequence[Crop]) -> EventPictures:
    """The pictures of an event from what was measured, and from crops that are aligned with its onset."""
    return EventPictures(
        onset=_picture(sample.onset),
        apex=_picture(sample.apex),
        u=_field(sample.flow.u),
        v=_field(sample.flow.v),
        strain=_field(sample.flow.strain),
        course=[_picture(_halved(crop.gray)) for crop in course],
        course_s=[round(crop.time_s, 4) for crop in course],
        landmarks=[(round(x, 2), round(y, 2)) for x, y in sample.landmarks_crop.astype(np.float64).tolist()],
    )


def left_out(pictures: Sequence[EventPictures | None]) -> list[ReportWarning]:
    """A warning where there is more than what a report shows: some of the events have no pictures."""
    shown = sum(each is not None for each in pictures)
    if shown == len(pictures):
        return []
    return [ReportWarning("pictures-left-out", f"only the first {shown} of {len(pictures)} events have pictures")]


def _picture(gray: Float32Array) -> Picture:
    height, width = gray.shape
    return Picture(width, height, _text(np.clip(np.rint(gray), 0, 255).astype(np.uint8)))


def _field(values: Float32Array) -> Field:
    """A field at half the size; the largest value takes all of the range."""
    small = _halved(values)
    largest = float(np.abs(small).max())
    scale = largest / _INT16 if largest > 0 else 1.0
    height, width = small.shape
    return Field(width, height, scale, _text(np.rint(small / scale).astype("<i2")))


def _halved(values: Float32Array) -> Float32Array:
    """The mean of every 2 x 2 values."""
    return np.asarray(cv2.resize(values, (GRID_PX, GRID_PX), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _text(numbers: np.ndarray[tuple[int, ...], np.dtype[np.uint8 | np.int16]]) -> str:
    return base64.b64encode(numbers.tobytes()).decode("ascii")
