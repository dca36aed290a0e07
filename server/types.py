"""The nouns of the field, as frozen values that the stages hand to each other.

Units are in the names: `_s` seconds, `_px` pixels, `_iod` inter-ocular distances (distance of the two eye
centres, each the mean of the eye's two corners). Image coordinates: x to the right, y down, pixel centres at
integers. Times come from presentation time stamps and start at 0 with the first frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from server.notice import NOTICE
from server.visuals import EventPictures, Explanation, Extra, FaceSignals

UInt8Array: TypeAlias = npt.NDArray[np.uint8]
Float32Array: TypeAlias = npt.NDArray[np.float32]
Float64Array: TypeAlias = npt.NDArray[np.float64]

Encoded: TypeAlias = bytes | bytearray
"""A clip or a picture as it was sent; a bytearray is wiped by whoever holds it, once it was looked at."""
EventKind: TypeAlias = Literal["micro", "macro"]
FaceChoice: TypeAlias = Literal["largest", "all"]
CsvColumns: TypeAlias = Literal["glimpse", "casme2", "samm"]
"""Of events as CSV: our own, or those of the coding sheets of CASME II or SAMM."""
Detail: TypeAlias = Literal["full", "minimal"]
"""How much of a face an answer tells; `minimal` leaves out whatever measures it (docs/privacy.md)."""
Grade: TypeAlias = Literal["good", "fair", "poor"]
Side: TypeAlias = Literal["left", "right", "both"]

Contraction: TypeAlias = Mapping[int, tuple[float, float]]
"""By FACS number: how far an action unit went on the left and on the right of the picture, 0..1 of its full motion."""

CROP_SIZE_PX = 256
"""Side of the aligned square crop."""
CROP_IOD_PX = 115.2
"""Distance of the eye centres in the crop: 0.6 of the 192 px square that the published flow images show."""
CROP_EYE_Y_PX = 96.0
"""Row of the eye line in the crop: a quarter of the way down that square, which is rows 48..240, columns 32..224."""


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """What the container said and what was decoded. `fps` is frames per second from the time stamps (median gap)."""

    duration_s: float
    frames: int
    fps: float
    width: int
    height: int
    codec: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture, upright (rotation already applied).

    `luma` uint8 [H, W] as coded; `load_rgb` makes uint8 [H, W, 3] on demand, since only the few frames that go
    through the face networks need colour.
    """

    index: int
    time_s: float
    luma: UInt8Array
    load_rgb: Callable[[], UInt8Array] = field(repr=False, compare=False)

    def rgb(self) -> UInt8Array:
        """uint8 [H, W, 3]."""
        return self.load_rgb()


@dataclass(frozen=True, slots=True)
class Face:
    """A face found in one frame. `box` x0, y0, x1, y1 in px; `landmarks` float32 [468, 2] in px; `score` 0..1."""

    box: tuple[float, float, float, float]
    landmarks: Float32Array
    score: float


@dataclass(frozen=True, slots=True)
class FaceQuality:
    """How good the evidence of one face in one frame is.

    `iod_px` size in the source frame; `sharpness` variance of the Laplacian in the crop (grey levels squared);
    `yaw_deg`, `pitch_deg`, `roll_deg` head pose; `inside` share of the crop that lies inside the picture.
    """

    iod_px: float
    sharpness: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    inside: float


@dataclass(frozen=True, slots=True)
class TrackedFace:
    """One face in one frame, with an identity that lasts.

    `transform` float64 [2, 3] maps frame px to crop px. `landmarks_crop` float32 [468, 2], in crop px, are those of
    the anchor frame: between anchors the transform alone moves. `anchor_id` changes when landmarks were taken anew,
    and crops of different anchors are not comparable at sub-pixel level. `residual_iod` is the robust spread of the
    tracked points around the fitted similarity; a large value means that the head turned out of plane.
    """

    track_id: int
    anchor_id: int
    transform: Float64Array
    landmarks_crop: Float32Array
    residual_iod: float
    quality: FaceQuality


@dataclass(frozen=True, slots=True)
class Crop:
    """An aligned face: `gray` float32 [256, 256], 0..255, eyes level at (96, 128 -+ 57.6); [320, 256] with the chin."""

    gray: Float32Array
    time_s: float
    transform: Float64Array


@dataclass(frozen=True, slots=True)
class FlowField:
    """Motion between two crops: `u` (right), `v` (down), float32 [H, W] in px; `strain` float32 [H, W], px/px."""

    u: Float32Array
    v: Float32Array
    strain: Float32Array


@dataclass(frozen=True, slots=True)
class EventSample:
    """What a recipe may draw on: the crops of one event, aligned with each other, and the motion between them.

    `onset` and `apex` are float32 [256, 256], 0..255, each the mean of the frames next to it; `landmarks_crop` float32
    [468, 2] are those of the onset; `flow` goes from onset to apex. `course` float32 [T, 256, 256] is the movement from
    onset to offset at T times that lie evenly, for recipes that ask for it; of no frames for others. A composed recipe
    gets one such course after the other.

    For recipes that ask for it: `times_s` of onset, apex and offset in the clip, `fps`, and `displacement` float32
    [R, 2], x and y in IOD, how far each tracked region is at the apex from where it was at the onset.
    """

    onset: Float32Array
    apex: Float32Array
    landmarks_crop: Float32Array
    flow: FlowField
    course: Float32Array = field(default_factory=lambda: np.zeros((0, CROP_SIZE_PX, CROP_SIZE_PX), np.float32))
    times_s: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fps: float = 0.0
    displacement: Float32Array = field(default_factory=lambda: np.zeros((0, 2), np.float32))


@dataclass(frozen=True, slots=True)
class Interval:
    """A spotted movement, before it has a class. Frames are indices into the clip. `peak_iod` is the largest regional
    displacement; `regions` those that moved, strongest first; `score` 0..1.
    """

    kind: EventKind
    onset_frame: int
    apex_frame: int
    offset_frame: int
    onset_s: float
    apex_s: float
    offset_s: float
    peak_iod: float
    score: float
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """How far the picture supports the answer, with the reasons for anything below `good`."""

    grade: Grade
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActionUnit:
    """`au` FACS number; `intensity` share of its full motion, 0..1; `side` in the picture; `confidence` from .5 on."""

    au: int
    intensity: float
    side: Side
    confidence: float


@dataclass(frozen=True, slots=True)
class Event:
    """One micro- or macro-expression, classified. `regions` are those that moved, strongest first. `pictures` and
    `explanation` are None unless they were asked for.
    """

    track_id: int
    kind: EventKind
    onset_s: float
    apex_s: float
    offset_s: float
    onset_frame: int
    apex_frame: int
    offset_frame: int
    label: str
    probabilities: Mapping[str, float]
    confidence: float
    abstained: bool
    regions: Sequence[str]
    action_units: Sequence[ActionUnit]
    evidence: Evidence
    pictures: EventPictures | None = None
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class FaceSummary:
    """One face over the whole clip. `quality` is the median over its frames, None in minimal reports; `evidence` what
    follows from it.
    """

    track_id: int
    first_s: float
    last_s: float
    quality: FaceQuality | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model answered, and where."""

    name: str
    version: str
    recipe: str
    backend: str


@dataclass(frozen=True, slots=True)
class ReportWarning:
    """Something the reader must know that did not stop the analysis. `code` is kebab-case and stable."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to one clip. No event is a valid, successful answer. `signals` are empty unless asked for."""

    id: str
    clip: ClipInfo
    faces: Sequence[FaceSummary]
    events: Sequence[Event]
    model: ModelRef
    timings_ms: Mapping[str, float]
    warnings: Sequence[ReportWarning] = ()
    detail: Detail = "full"
    notice: str = NOTICE
    signals: Sequence[FaceSignals] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One classified sample."""

    label: str
    probabilities: Mapping[str, float]
    confidence: float
    abstained: bool
    action_units: Sequence[ActionUnit] = ()


@dataclass(frozen=True, slots=True)
class Classification:
    """The answer to an onset and an apex picture."""

    id: str
    label: str
    probabilities: Mapping[str, float]
    confidence: float
    abstained: bool
    action_units: Sequence[ActionUnit]
    evidence: Evidence
    model: ModelRef
    timings_ms: Mapping[str, float]
    warnings: Sequence[ReportWarning] = ()
    detail: Detail = "full"
    notice: str = NOTICE


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """What a caller may choose. `onset_s`, `apex_s` fix an event instead of spotting; `model` None is the default;
    `include` and `explain` ask for more than the events.
    """

    model: str | None = None
    version: str | None = None
    faces: FaceChoice = "largest"
    onset_s: float | None = None
    apex_s: float | None = None
    kinds: frozenset[EventKind] = frozenset({"micro", "macro"})
    detail: Detail = "full"
    include: frozenset[Extra] = frozenset()
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long analysis is: `done` of `total` units of `stage` (`total` 0 when unknown)."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as a client sees it. `reason` says why it is not servable; `warnings` go with every answer of it."""

    name: str
    versions: Sequence[str]
    recipe: str
    labels: Sequence[str]
    backend: str
    servable: bool
    reason: str = ""
    warnings: Sequence[ReportWarning] = ()
    contract: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
