"""What a live stream sends to its worker process and what comes back: plain values that pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.contract import FlowMethod
from server.media.limits import MediaLimits
from server.pipeline.jobs import StageTime
from server.spotting.causal import Step
from server.streams import FrameRefused, FrameResult, LiveFrame, StreamOptions, WithdrawReason
from server.types import Contraction, Evidence, Float32Array, Interval


@dataclass(frozen=True, slots=True)
class LiveOpen:
    """Begin a stream for a model of this recipe and flow; `store_bytes` bounds the pictures that are kept."""

    options: StreamOptions
    limits: MediaLimits
    recipe: str
    flow: FlowMethod
    max_faces: int
    store_bytes: int


@dataclass(frozen=True, slots=True)
class LivePush:
    """The next pictures of the stream."""

    frames: tuple[LiveFrame, ...]


@dataclass(frozen=True, slots=True)
class LiveClose:
    """The stream is over."""


@dataclass(frozen=True, slots=True)
class LiveRehearse:
    """Look at a drawn face for a moment, and tell how long that takes."""


@dataclass(frozen=True, slots=True)
class Told:
    """One step of a movement, of those of `server.spotting.causal`. An event has what was measured of it: `inputs` are
    the recipe's tensors, no batch axis, `still` as in `server.pipeline.measure.Movement`, and `timeline` when that was
    done. `reason` is that of what was withdrawn.
    """

    movement: int
    track_id: int
    step: Step
    interval: Interval
    evidence: Evidence | None = None
    still: bool = False
    inputs: Mapping[str, Float32Array] | None = None
    contraction: Contraction | None = None
    reason: WithdrawReason = "not-an-expression"
    timeline: tuple[StageTime, ...] = ()


@dataclass(frozen=True, slots=True)
class Looked:
    """The answer to one picture, and what became of movements with it."""

    answer: FrameResult | FrameRefused
    told: tuple[Told, ...] = ()
