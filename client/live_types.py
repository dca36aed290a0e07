"""What a live stream is sent and what it answers, as frozen values.

Every frame gets exactly one of `FrameResult`, `FrameDropped`, `FrameRefused` and a place in `Reconnected.unanswered`.
What becomes of movements is told between them: `Onset`, `Candidate`, then `StreamEvent` or `Withdrawn`, each with the
number of its movement. Times are seconds of the stream's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from client.types import Detail, Event, EventKind, FaceChoice, FrameEncoding, ModelRef, Quality

BufferPolicy: TypeAlias = Literal["wait", "drop_oldest", "drop_latest"]
"""What happens to a frame that finds a full buffer: the sender waits, the frame that has waited longest goes, or the
new one does.
"""
DropReason: TypeAlias = Literal["oldest", "latest", "closed", "unsent"]
"""`unsent` frames were dropped here, since the connection was slower than the source; the others by the service."""
FaceState: TypeAlias = Literal["starting", "resting", "moving", "unsteady"]
WithdrawReason: TypeAlias = Literal["not-an-expression", "face-lost", "unmeasured", "not-classified", "stream-ended"]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What a caller chooses when it opens a stream.

    `frame_rate` is what it means to send, in frames per second, and what admission counts; `clock_zero_us` the capture
    time that is second 0, None for that of the first frame; `motion` asks for the displacement of each region with
    every frame; `detail` minimal leaves out whatever measures a face. Empty `kinds` are both.
    """

    model: str | None = None
    version: str | None = None
    faces: FaceChoice = "largest"
    kinds: frozenset[EventKind] = frozenset()
    policy: BufferPolicy = "drop_oldest"
    frame_rate: float = 30.0
    clock_zero_us: int | None = None
    motion: bool = False
    detail: Detail = "full"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. `capture_us` is the source's own clock in microseconds, which must rise; `width` and `height` are
    needed for raw pictures (`gray8`, `bgr8`), which are row by row without padding.
    """

    encoding: FrameEncoding
    data: bytes
    capture_us: int
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The stream is open. `regions` are in the order of `LiveFace.motion_iod`; `notice` says what answers can tell."""

    stream_id: str
    model: ModelRef
    regions: tuple[str, ...]
    notice: str = ""


@dataclass(frozen=True, slots=True)
class LiveFace:
    """One face in one frame. `eyes_px` are the centres of both, the one on the left of the picture first;
    `motion_iod` the displacement of each region in eye distances, where it was asked for. A minimal one has no
    `eyes_px` and no `quality`.
    """

    track_id: int
    state: FaceState
    eyes_px: tuple[tuple[float, float], ...]
    quality: Quality | None
    motion_iod: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class FrameResult:
    """A frame was looked at, `lag_s` after it had reached the service."""

    frame_index: int
    capture_us: int
    time_s: float
    faces: tuple[LiveFace, ...]
    lag_s: float


@dataclass(frozen=True, slots=True)
class FrameDropped:
    """A frame was not looked at."""

    frame_index: int
    capture_us: int
    reason: DropReason


@dataclass(frozen=True, slots=True)
class FrameRefused:
    """A frame cannot be looked at; `goes_on` says whether the stream does."""

    frame_index: int
    capture_us: int
    code: str
    message: str
    goes_on: bool


@dataclass(frozen=True, slots=True)
class Onset:
    """A face began to move."""

    movement: int
    track_id: int
    onset_s: float
    onset_frame: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A movement has passed its apex; what it is, its event tells."""

    movement: int
    track_id: int
    onset_s: float
    apex_s: float
    onset_frame: int
    apex_frame: int


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """A movement has come to its end: the event that a clip of the stream would have had."""

    movement: int
    event: Event


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What was told of a movement was none."""

    movement: int
    track_id: int
    reason: WithdrawReason


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The connection broke with `code` and `message`, and the stream goes on over a new one, with the same clock.

    `unanswered` are the numbers of the frames that were sent and get no answer, `movements` those of the movements
    that were under way and get no end. Faces and movements are numbered on from where they were: a person in view on
    both sides of the break has two numbers. `attempts` is how many it took.
    """

    code: str
    message: str
    attempts: int
    unanswered: tuple[int, ...]
    movements: tuple[int, ...]
    opened: StreamOpened


@dataclass(frozen=True, slots=True)
class StreamStats:
    """The statistics of the service, for its last connection; `Stream.tally` counts over all of them."""

    received: int
    analysed: int
    dropped: int
    refused: int
    events: int
    withdrawn: int
    duration_s: float
    lag_p50_s: float
    lag_p99_s: float


FrameReply: TypeAlias = FrameResult | FrameDropped | FrameRefused
MovementReply: TypeAlias = Onset | Candidate | StreamEvent | Withdrawn
StreamReply: TypeAlias = FrameReply | MovementReply | Reconnected | StreamStats
