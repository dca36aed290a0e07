"""What the service is asked and what it answers, as frozen values. Times are seconds unless the name says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from client.visuals import EventPictures, Extra, FaceSignals

EventKind: TypeAlias = Literal["micro", "macro"]
FaceChoice: TypeAlias = Literal["largest", "all"]
Detail: TypeAlias = Literal["full", "minimal"]
Grade: TypeAlias = Literal["good", "fair", "poor"]
Side: TypeAlias = Literal["left", "right", "both"]
FrameEncoding: TypeAlias = Literal["jpeg", "png", "gray8", "bgr8"]


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """What a caller may choose. `model` None is the service's own, `version` None its newest; empty `kinds` are both.
    `onset_s` and `apex_s` fix one event instead of spotting. `detail` minimal leaves out whatever measures a face.
    `include` asks for the motion of faces and for pictures of events, `explain` for what drove each class.
    """

    model: str | None = None
    version: str | None = None
    faces: FaceChoice = "largest"
    kinds: frozenset[EventKind] = frozenset()
    onset_s: float | None = None
    apex_s: float | None = None
    detail: Detail = "full"
    include: frozenset[Extra] = frozenset()
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an analysis is: `done` of `total` units of `stage`; `total` is 0 where it is not known."""

    stage: str
    done: int
    total: int


OnProgress: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Clip:
    """What was sent. `fps` is frames per second from the time stamps."""

    duration_s: float
    frames: int
    fps: float
    width: int
    height: int
    codec: str


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a face is seen: distance of the eye centres in pixels, variance of the Laplacian of the aligned face,
    pose of the head in degrees, share of the face inside the picture.
    """

    iod_px: float
    sharpness: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    inside: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """How far the picture supports the answer, with the reasons for anything below `good`."""

    grade: Grade
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FaceSummary:
    """One face over the whole clip. `quality` is None in minimal reports."""

    track_id: int
    first_s: float
    last_s: float
    quality: Quality | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class ActionUnit:
    """`au` FACS number; `intensity` share of its full motion, 0..1; `side` of the picture."""

    au: int
    intensity: float
    side: Side
    confidence: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """The class of a movement. An `abstained` label should not be used: its confidence is too low."""

    label: str
    probabilities: Mapping[str, float]
    confidence: float
    abstained: bool
    action_units: tuple[ActionUnit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Prediction):
    """One micro- or macro-expression. `regions` are those that moved, strongest first; `pictures` are there where they
    were asked for.
    """

    track_id: int
    kind: EventKind
    onset_s: float
    apex_s: float
    offset_s: float
    onset_frame: int
    apex_frame: int
    offset_frame: int
    regions: tuple[str, ...]
    evidence: Evidence
    pictures: EventPictures | None = None


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Which model answered, and where."""

    name: str
    version: str
    recipe: str
    backend: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the reader must know that did not stop the analysis. `code` is stable."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to a clip. No event is a valid answer. `signals` are there where they were asked for."""

    id: str
    clip: Clip
    faces: tuple[FaceSummary, ...]
    events: tuple[Event, ...]
    model: ModelRef
    timings_ms: Mapping[str, float]
    warnings: tuple[Warned, ...] = ()
    detail: Detail = "full"
    notice: str = ""
    signals: tuple[FaceSignals, ...] = ()


@dataclass(frozen=True, slots=True)
class Classification:
    """The answer to an onset and an apex picture."""

    id: str
    label: str
    probabilities: Mapping[str, float]
    confidence: float
    abstained: bool
    action_units: tuple[ActionUnit, ...]
    evidence: Evidence
    model: ModelRef
    timings_ms: Mapping[str, float]
    warnings: tuple[Warned, ...] = ()
    detail: Detail = "full"
    notice: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model; `reason` says why it is not servable. `warnings`, `contract` and `card` come over REST alone."""

    name: str
    versions: tuple[str, ...]
    recipe: str
    labels: tuple[str, ...]
    backend: str
    servable: bool
    reason: str = ""
    warnings: tuple[Warned, ...] = ()
    contract: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The limits of a service, and how much of those of live streams is taken. `max_frame_pixels` is width times
    height; limits that are 0 were not told.
    """

    version: str
    default_model: str
    max_message_bytes: int
    max_clip_bytes: int
    max_clip_seconds: float
    max_clip_frames: int
    max_frame_pixels: int
    max_faces: int
    max_live_streams: int
    live_streams: int
    max_live_frames_per_second: float
    live_frames_per_second: float
    live_idle_seconds: float
    live_buffer_frames: int
    frame_encodings: tuple[FrameEncoding, ...]
    codecs: tuple[str, ...]
    notice: str = ""
