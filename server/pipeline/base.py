"""What the protocols see of the pipeline, and what the pipeline tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from server.errors import OptionError
from server.types import AnalyzeOptions, Classification, ModelInfo, Progress, Report

OnProgress: TypeAlias = Callable[[Progress], None]
ShadowOutcome: TypeAlias = Literal["agree", "disagree", "abstained", "failed", "dropped"]
"""What became of one event that a shadow model should have seen; `abstained` where either model withheld its answer."""


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


class Analyzer(Protocol):
    """The service behind every protocol. Deadlines are `time.monotonic()` values."""

    async def analyze(
        self,
        data: bytes,
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
        self, onset: bytes, apex: bytes, options: AnalyzeOptions, *, request_id: str, deadline: float
    ) -> Classification:
        """Classify the movement between two pictures of one face. Uses only `model` and `version` of the options."""
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


class Observer(Protocol):
    """Receives what happens inside; metrics implement it. Calls must not block."""

    def observe_stage(self, stage: str, seconds: float) -> None:
        """One clip spent `seconds` in `stage`."""

    def observe_inference(self, model: str, backend: str, seconds: float) -> None:
        """One call of the backend was answered."""

    def count_inference_error(self, model: str, code: str) -> None:
        """One call of the backend failed; `code` as in `GlimpseError.code`."""

    def observe_report(self, report: Report) -> None:
        """One clip was answered."""

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

    def count_worker_restart(self, reason: str) -> None:
        """A worker was replaced; `reason` is crash, deadline, cancelled or memory."""
