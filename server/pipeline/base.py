"""What the protocols see of the pipeline, and what the pipeline tells whoever watches it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from server.errors import OptionError
from server.predict.base import BackendWatch
from server.streams import LiveFrame, StreamOptions, StreamReply
from server.types import AnalyzeOptions, Classification, Encoded, Event, ModelInfo, ModelRef, Progress, Report

MODEL_NAME = r"^[a-z0-9][a-z0-9_.\-]{0,63}$"
MODEL_VERSION = r"^[0-9]{1,18}$"
MOST_FRAME_RATE = 1000.0
"""Frames per second that a stream may say it will send."""

OnProgress: TypeAlias = Callable[[Progress], None]
ShadowOutcome: TypeAlias = Literal["agree", "disagree", "abstained", "failed", "dropped"]
"""What became of one event that a shadow model should have seen; `abstained` where either model withheld its answer."""

LiveFrameOutcome: TypeAlias = Literal["analysed", "dropped", "refused"]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a request would be answered now; `reasons` is empty when it would."""

    ready: bool
    reasons: tuple[str, ...] = ()


def check_options(options: AnalyzeOptions) -> None:
    """What can be known to be wrong before a single frame is decoded. Raises `OptionError`."""
    onset_s, apex_s = options.onset_s, options.apex_s
    if onset_s is not None and apex_s is not None and apex_s <= onset_s:
        raise OptionError(f"apex_s ({apex_s:g}) must be later than onset_s ({onset_s:g})", option="apex_s")
    if not options.kinds:
        raise OptionError("kinds names no kind of event: give micro, macro or both", option="kinds")
    if options.detail == "minimal":
        if options.include:
            raise OptionError("include shows the face, which detail=minimal leaves out", option="include")
        if options.explain:
            raise OptionError("explain shows what the face did, which detail=minimal leaves out", option="explain")


def check_stream_options(options: StreamOptions) -> None:
    """What can be known to be wrong before a stream takes anything. Raises `OptionError`."""
    if not 0 < options.frame_rate <= MOST_FRAME_RATE:
        message = f"frame_rate ({options.frame_rate:g}) must be above 0 and at most {MOST_FRAME_RATE:g} per second"
        raise OptionError(message, option="frame_rate")
    if not options.kinds:
        raise OptionError("kinds names no kind of event: give micro, macro or both", option="kinds")
    if options.motion and options.detail == "minimal":
        raise OptionError("motion measures the face, which detail=minimal leaves out", option="motion")


class Analyzer(Protocol):
    """The service behind every protocol. Deadlines are `time.monotonic()` values."""

    async def analyze(
        self,
        data: Encoded,
        options: AnalyzeOptions,
        *,
        request_id: str,
        deadline: float,
        on_progress: OnProgress | None = None,
    ) -> Report:
        """Find and classify the expressions of one clip.

        Raises any `GlimpseError`. `on_progress` is called on the event loop.
        """
        ...

    async def classify(
        self, onset: Encoded, apex: Encoded, options: AnalyzeOptions, *, request_id: str, deadline: float
    ) -> Classification:
        """Classify the movement between two pictures of one face. Uses `model`, `version` and `detail`."""
        ...

    async def models(self) -> Sequence[ModelInfo]:
        """Every model of the repository, servable or not, sorted by name."""
        ...

    async def model(self, name: str) -> ModelInfo:
        """One model. Raises `UnknownModel`."""
        ...

    async def readiness(self) -> Readiness:
        """Whether workers run and the backend answers a real inference of the default model (cached for seconds)."""
        ...


@dataclass(frozen=True, slots=True)
class LiveBounds:
    """What live streams may take: how many at a time, frames per second of all together, the longest pause between two
    frames of one, and how many of its frames may wait.
    """

    max_streams: int
    frames_per_s: float
    idle_s: float
    buffer_frames: int


class OpenStream(Protocol):
    """One live stream. One task offers frames while another reads the replies."""

    @property
    def model(self) -> ModelRef:
        """The model that answers."""
        ...

    @property
    def regions(self) -> Sequence[str]:
        """Names of the face's regions, in the order of `LiveFace.motion`."""
        ...

    async def offer(self, frame: LiveFrame) -> None:
        """Hand in the next frame. Waits for room under the policy `wait`, and under every policy while the client
        leaves many replies unread.
        """
        ...

    async def finish(self) -> None:
        """No more frames come; what waits is still answered."""
        ...

    def replies(self) -> AsyncIterator[StreamReply]:
        """Everything that the client is told, `StreamStats` last. Raises the `GlimpseError` that ended the stream."""
        ...


class LiveAnalyzer(Protocol):
    """Live streams behind every protocol."""

    @property
    def bounds(self) -> LiveBounds:
        """What clients are told before they send anything."""
        ...

    @property
    def streams(self) -> int:
        """How many are open."""
        ...

    @property
    def frames_per_s(self) -> float:
        """What those that are open said they would send."""
        ...

    def open(self, options: StreamOptions) -> AbstractAsyncContextManager[OpenStream]:
        """A stream, until the block is left.

        Raises `OptionError`, `Overloaded` with what is full, `UnknownModel`, `ModelNotServable`, `BackendUnavailable`,
        all before a process is taken.
        """
        ...


class Observer(BackendWatch, Protocol):
    """Receives what happens inside; metrics implement it. Calls must not block."""

    def observe_stage(self, stage: str, seconds: float) -> None:
        """One clip spent `seconds` in `stage`."""

    def observe_inference(self, model: str, backend: str, seconds: float) -> None:
        """One call of the backend was answered."""

    def count_inference_error(self, model: str, code: str) -> None:
        """One call of the backend failed; `code` as in `GlimpseError.code`."""

    def observe_report(self, report: Report) -> None:
        """One clip was answered."""

    def observe_event(self, model: str, event: Event) -> None:
        """One event of a live stream was told."""

    def track_live_streams(self, change: int) -> None:
        """A live stream was opened (+1) or has ended (-1)."""

    def count_live_frame(self, outcome: LiveFrameOutcome) -> None:
        """A frame of a live stream was answered."""

    def observe_live_lag(self, seconds: float) -> None:
        """How long after its arrival a frame of a live stream was answered."""

    def set_backend_up(self, up: bool) -> None:  # noqa: FBT001 - one flag is all it says
        """The last readiness check."""

    def count_shadow_events(self, model: str, shadow: str, outcome: ShadowOutcome, events: int) -> None:
        """What became of events that `model` answered and `shadow` should have."""

    def observe_shadow_distance(self, model: str, shadow: str, distance: float) -> None:
        """Total variation distance of two answers to one event, 0..1."""

    def set_shadow_up(self, shadow: str, up: bool) -> None:  # noqa: FBT001 - one flag is all it says
        """Whether the shadow model can be asked."""

    def set_workers(self, *, idle: int, busy: int, queued: int) -> None:
        """The state of the worker pool changed."""

    def observe_wait(self, kind: str, seconds: float) -> None:
        """A clip has got what it waited for: `worker`."""

    def track_worker(self, workers: str, pid: int, *, runs: bool) -> None:
        """A process of the `workers` of clips or of live streams is ready, or has ended."""

    def count_worker_restart(self, reason: str) -> None:
        """A worker was replaced; `reason` is crash, memory, cpu, sandbox, deadline or cancelled."""

    def set_sandbox(self, workers: str, layers: Mapping[str, bool]) -> None:
        """Which layers confine the `workers` of clips or of live streams."""
