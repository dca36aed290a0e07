"""What goes to a worker process and what comes back: plain values that pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.contract import FlowMethod
from server.media.limits import MediaLimits
from server.types import (
    ClipInfo,
    Contraction,
    EventKind,
    Evidence,
    FaceChoice,
    FaceSummary,
    Float32Array,
    Interval,
    ReportWarning,
)


@dataclass(frozen=True, slots=True)
class ClipJob:
    """Find the movements of a clip and make a network's inputs from each."""

    data: bytes
    limits: MediaLimits
    recipe: str
    flow: FlowMethod
    faces: FaceChoice
    max_faces: int
    kinds: frozenset[EventKind]
    onset_s: float | None
    apex_s: float | None

    @property
    def given(self) -> bool:
        """Whether the caller points at an event, so that none is spotted."""
        return self.onset_s is not None or self.apex_s is not None


@dataclass(frozen=True, slots=True)
class PairJob:
    """Make a network's inputs from an onset and an apex picture."""

    onset: bytes
    apex: bytes
    limits: MediaLimits
    recipe: str
    flow: FlowMethod


@dataclass(frozen=True, slots=True)
class Finding:
    """One movement: where it is, how good the picture is, and the recipe's tensors (no batch axis).

    `still`: nothing moved between onset and apex, so that a class would be made of noise. `contraction`: how far each
    action unit would have gone, by FACS number, on the left and on the right, 0..1.
    """

    track_id: int
    interval: Interval
    evidence: Evidence
    still: bool
    inputs: Mapping[str, Float32Array]
    contraction: Contraction


@dataclass(frozen=True, slots=True)
class ClipFindings:
    """All that the pixels said. `coverage` is the share of frames with a face; `timings_s` the cost of each stage."""

    clip: ClipInfo
    faces: tuple[FaceSummary, ...]
    findings: tuple[Finding, ...]
    coverage: float
    last_face_s: float
    warnings: tuple[ReportWarning, ...]
    timings_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PairFindings:
    """The tensors of one onset-apex pair; `still` and `contraction` as in `Finding`."""

    inputs: Mapping[str, Float32Array]
    contraction: Contraction
    evidence: Evidence
    still: bool
    timings_s: Mapping[str, float]
