"""What a report holds besides its events where it was asked for: the motion of faces, and pictures of events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Extra: TypeAlias = Literal["signals", "pictures"]
Matrix: TypeAlias = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f of [[a, b, c], [d, e, f]]."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A gray picture: `gray` is uint8 [height, width], row by row."""

    width: int
    height: int
    gray: bytes


@dataclass(frozen=True, slots=True)
class Field:
    """Numbers on a grid: `values` is int16 [height, width], little-endian, row by row; times `scale` they are in the
    unit that the owner names.
    """

    width: int
    height: int
    scale: float
    values: bytes


@dataclass(frozen=True, slots=True)
class EventPictures:
    """One event as it was measured, in the aligned square crop of the face of 256 px.

    `onset` and `apex` are 256 x 256; `u` (right) and `v` (down) the flow from onset to apex in px of the crop and
    `strain` its optical strain in px/px, all 128 x 128. `course` are at most 24 pictures, 128 x 128, at `course_s`,
    seconds of the clip, from just before the onset to just after the offset, aligned with the onset. `landmarks` are
    x, y of the 468 points at the onset, px of the crop.
    """

    onset: Picture
    apex: Picture
    u: Field
    v: Field
    strain: Field
    course: tuple[Picture, ...]
    course_s: tuple[float, ...]
    landmarks: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class FaceCandidate:
    """A movement that was looked at, whose `outcome` is reported, withdrawn or other-kind; `reason` says why it is no
    event. `peak_iod` is the largest displacement of a region, in eye distances; `regions` those that moved.
    """

    kind: Literal["micro", "macro"]
    onset_s: float
    apex_s: float
    offset_s: float
    peak_iod: float
    regions: tuple[str, ...]
    outcome: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FaceSignals:
    """The motion of one face over the clip, at T times, one for `every` frames.

    `motion_iod` [regions][T] is how far each region is from rest, in eye distances; None where that is not known.
    `transforms` [T] map px of the frame to px of the aligned crop of 256 px.
    """

    track_id: int
    every: int
    times_s: tuple[float, ...]
    regions: tuple[str, ...]
    motion_iod: tuple[tuple[float | None, ...], ...]
    transforms: tuple[Matrix, ...]
    candidates: tuple[FaceCandidate, ...]
