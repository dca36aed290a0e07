"""The nouns of a live stream, as frozen values: what a client sends, and what it is told.

Every frame gets exactly one of `FrameResult`, `FrameDropped` and `FrameRefused`, in the order in which frames came.
What becomes of movements is told between them: `Onset`, `Candidate`, then `LiveEvent` or `Withdrawn`, each with the
number of its movement. `StreamStats` ends a stream. Times are seconds of the stream's clock, whose zero is the capture
time of its first frame or the one that the client gave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from server.types import Detail, Encoded, Event, EventKind, FaceChoice, FaceQuality, ModelRef

FrameEncoding: TypeAlias = Literal["jpeg", "png", "gray8", "bgr8"]
FRAME_ENCODINGS: tuple[FrameEncoding, ...] = get_args(FrameEncoding)
BufferPolicy: TypeAlias = Literal["wait", "drop_oldest", "drop_latest"]
"""What happens to a frame that comes while the buffer is full: the sender waits, the oldest waiting frame goes, or the
new one does.
"""
DropReason: TypeAlias = Literal["oldest", "latest", "closed"]
WithdrawReason: TypeAlias = Literal["not-an-expression", "face-lost", "unmeasured", "not-classified", "stream-ended"]
FaceState: TypeAlias = Literal["starting", "resting", "moving", "unsteady"]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """What a client chooses when it opens a stream.

    `frame_rate` is what it means to send, per second, and what admission counts; `clock_zero_us` the capture time that
    is zero, for a stream that goes on with the clock of another one; `motion` asks for the displacement of each region
    with every frame; `detail` as in a report.
    """

    model: str | None = None
    version: str | None = None
    faces: FaceChoice = "largest"
    kinds: frozenset[EventKind] = frozenset({"micro", "macro"})
    policy: BufferPolicy = "drop_oldest"
    frame_rate: float = 30.0
    clock_zero_us: int | None = None
    motion: bool = False
    detail: Detail = "full"


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """One picture of the client: its own `index` and capture time, both echoed. `width` and `height` are needed for
    raw pictures alone, whose `data` is row by row, without padding.
    """

    index: int
    capture_us: int
    encoding: FrameEncoding
    data: Encoded
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class LiveFace:
    """One face in one frame. `eyes` are the centres of both, x and y in px, the one on the left of the picture first;
    `motion` the displacement of each region, x and y in IOD, where the client asked for it. A minimal one has no
    `eyes` and no `quality`.
    """

    track_id: int
    state: FaceState
    eyes: Sequence[tuple[float, float]]
    quality: FaceQuality | None
    motion: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class FrameResult:
    """A frame was looked at; `lag_s` is how long after its arrival."""

    index: int
    capture_us: int
    time_s: float
    faces: Sequence[LiveFace]
    lag_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FrameDropped:
    """A frame was not looked at, by the policy of the stream or since it was closed."""

    index: int
    capture_us: int
    reason: DropReason


@dataclass(frozen=True, slots=True)
class FrameRefused:
    """A frame cannot be looked at: the problem's code and message, and whether the stream goes on."""

    index: int
    capture_us: int
    code: str
    message: str
    goes_on: bool


@dataclass(frozen=True, slots=True)
class Onset:
    """A face began to move at `onset_s`."""

    movement: int
    track_id: int
    onset_s: float
    onset_frame: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A movement has passed its apex. What it is, its event tells."""

    movement: int
    track_id: int
    onset_s: float
    apex_s: float
    onset_frame: int
    apex_frame: int


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """A movement has come to its end: the same event that a clip of the stream would have had."""

    movement: int
    event: Event


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What was told of a movement was none; `reason` says why."""

    movement: int
    track_id: int
    reason: WithdrawReason


@dataclass(frozen=True, slots=True)
class StreamStats:
    """The whole stream. Lags are seconds from the arrival of a frame to its answer, over the last 4096 of them."""

    received: int
    analysed: int
    dropped: int
    refused: int
    events: int
    withdrawn: int
    duration_s: float
    lag_p50_s: float
    lag_p99_s: float
    model: ModelRef


StreamReply: TypeAlias = (
    FrameResult | FrameDropped | FrameRefused | Onset | Candidate | LiveEvent | Withdrawn | StreamStats
)
