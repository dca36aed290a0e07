"""What a report may hold besides its events, for whoever asks: signals, pictures and explanations.

Pixels and fields travel as base64 text of plain numbers, so that no reader of a report needs a decoder of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Extra: TypeAlias = Literal["signals", "pictures"]
"""What can be asked for besides: the motion of each region over the clip; pictures and flow of each event."""
CandidateOutcome: TypeAlias = Literal["reported", "withdrawn", "other-kind"]
CandidateReason: TypeAlias = Literal["", "blink", "cut", "head-turn", "speech", "unsupported", "unmeasured", "kind"]
"""Why a movement is no event: what explains it instead, `unsupported` where one region alone that is hard to measure
moved, `unmeasured` where its pictures could not be aligned, `kind` where the caller did not ask for events of its kind.
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A gray picture: `gray` is base64 of uint8 [height, width], row by row."""

    width: int
    height: int
    gray: str


@dataclass(frozen=True, slots=True)
class Field:
    """Numbers on a grid: `values` is base64 of int16 [height, width], little-endian, row by row; times `scale` they are
    in the unit that the owner names.
    """

    width: int
    height: int
    scale: float
    values: str


@dataclass(frozen=True, slots=True)
class EventPictures:
    """One event as it was measured, in the aligned square crop of 256 px (`server.types.CROP_SIZE_PX`).

    `onset` and `apex` are 256 x 256. `u` (right) and `v` (down) are the flow from onset to apex in px of the crop,
    `strain` its optical strain in px/px, all 128 x 128 (each value stands for 2 x 2 px of the crop). `course` are at
    most 24 pictures, 128 x 128, at `course_s`, seconds of the clip, from just before the onset to just after the
    offset, aligned with the onset. `landmarks` are x, y of the 468 points at the onset, px of the crop.
    """

    onset: Picture
    apex: Picture
    u: Field
    v: Field
    strain: Field
    course: Sequence[Picture]
    course_s: Sequence[float]
    landmarks: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A movement that was looked at. Frames are indices into the clip; `peak_iod` is its largest regional
    displacement; `reason` is empty where it was reported.
    """

    kind: Literal["micro", "macro"]
    onset_s: float
    apex_s: float
    offset_s: float
    peak_iod: float
    regions: Sequence[str]
    outcome: CandidateOutcome
    reason: CandidateReason = ""


@dataclass(frozen=True, slots=True)
class FaceSignals:
    """The motion of one face over the clip, at T times (of long clips not every frame, see `every`).

    `motion_iod` [regions][T] is how far each region is from rest, in inter-ocular distances; None where it is not
    known. `transforms` [T] are a, b, c, d, e, f of the matrix [[a, b, c], [d, e, f]] that maps px of the frame to px of
    the aligned crop of 256 px.
    """

    track_id: int
    every: int
    times_s: Sequence[float]
    regions: Sequence[str]
    motion_iod: Sequence[Sequence[float | None]]
    transforms: Sequence[tuple[float, float, float, float, float, float]]
    candidates: Sequence[Candidate]


@dataclass(frozen=True, slots=True)
class Influence:
    """How much of the label's probability is lost when one part of the motion is hidden; negative where it rises.

    `name` is a region of the face or an action unit such as `AU12`; `side` that of the picture.
    """

    name: str
    side: Literal["left", "right", "both"]
    drop: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """What drove the class of one event.

    `method` is `occlusion`: each part of the inputs was replaced by what it holds where nothing moves, and the model
    asked again. `label` and `probability` are what is explained; `regions` and `action_units` come strongest first.
    `map` is the loss of probability by place on the aligned crop, `attention` what the network itself says it looked at
    (0..1), where it has such an output.
    """

    method: Literal["occlusion"]
    label: str
    probability: float
    regions: Sequence[Influence]
    action_units: Sequence[Influence]
    map: Field | None = None
    attention: Field | None = None
