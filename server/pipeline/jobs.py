"""What goes to a worker process and what comes back: plain values that pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from server.contract import FlowMethod
from server.media.limits import MediaLimits
from server.types import (
    ClipInfo,
    Contraction,
    Encoded,
    EventKind,
    Evidence,
    FaceChoice,
    FaceSummary,
    Float32Array,
    Interval,
    ReportWarning,
)
from server.visuals import EventPictures, Extra, FaceSignals

ShadowInputs: TypeAlias = Mapping[str, Float32Array] | Literal["failed", "dropped"] | None
"""A second model's tensors of one movement, or why there are none; None where nobody asked for them."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """When a stage was worked on: from its first piece of work to its last, in seconds of `time.monotonic`, which
    processes of one machine share, and `busy_s` of it in fact. `part` is the pass that it belongs to, empty for a pass
    itself.
    """

    stage: str
    part: str
    began: float
    ended: float
    busy_s: float


@dataclass(frozen=True, slots=True)
class ShadowJob:
    """Make the inputs of a second model as well, until that has taken `budget_s` seconds of the worker."""

    recipe: str
    flow: FlowMethod
    budget_s: float


@dataclass(frozen=True, slots=True)
class ClipJob:
    """Find the movements of a clip and make a network's inputs from each."""

    data: Encoded
    limits: MediaLimits
    recipe: str
    flow: FlowMethod
    faces: FaceChoice
    max_faces: int
    kinds: frozenset[EventKind]
    onset_s: float | None
    apex_s: float | None
    shadow: ShadowJob | None = None
    include: frozenset[Extra] = frozenset()

    @property
    def given(self) -> bool:
        """Whether the caller points at an event, so that none is spotted."""
        return self.onset_s is not None or self.apex_s is not None


@dataclass(frozen=True, slots=True)
class PairJob:
    """Make a network's inputs from an onset and an apex picture."""

    onset: Encoded
    apex: Encoded
    limits: MediaLimits
    recipe: str
    flow: FlowMethod
    shadow: ShadowJob | None = None


class Movement(Protocol):
    """What one movement brings to its classification."""

    @property
    def inputs(self) -> Mapping[str, Float32Array]:
        """The recipe's tensors, no batch axis."""
        ...

    @property
    def still(self) -> bool:
        """Whether nothing moved between onset and apex, so that a class would be made of noise."""
        ...

    @property
    def contraction(self) -> Contraction:
        """How far each action unit would have gone, by FACS number, on the left and on the right, 0..1."""
        ...

    @property
    def shadow(self) -> ShadowInputs:
        """What a second model is asked with."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """One movement of a clip (see `Movement`): where it is, how good the picture is, and its pictures if wanted."""

    track_id: int
    interval: Interval
    evidence: Evidence
    still: bool
    inputs: Mapping[str, Float32Array]
    contraction: Contraction
    shadow: ShadowInputs = None
    pictures: EventPictures | None = None


@dataclass(frozen=True, slots=True)
class ClipFindings:
    """All that the pixels said. `coverage` is the share of frames with a face; `timings_s` the cost of each stage,
    `shadow_s` that of a second model's inputs, and `timeline` when it all was. `signals` are those of each face, where
    they were wanted.
    """

    clip: ClipInfo
    faces: tuple[FaceSummary, ...]
    findings: tuple[Finding, ...]
    coverage: float
    last_face_s: float
    warnings: tuple[ReportWarning, ...]
    timings_s: Mapping[str, float]
    shadow_s: float = 0.0
    timeline: tuple[StageTime, ...] = ()
    signals: tuple[FaceSignals, ...] = ()


@dataclass(frozen=True, slots=True)
class PairFindings:
    """One onset-apex pair (see `Movement`); `timings_s`, `shadow_s` and `timeline` as in `ClipFindings`."""

    inputs: Mapping[str, Float32Array]
    contraction: Contraction
    evidence: Evidence
    still: bool
    timings_s: Mapping[str, float]
    shadow: ShadowInputs = None
    shadow_s: float = 0.0
    timeline: tuple[StageTime, ...] = ()
