"""Messages of the interface to our types, checked; `convert.py` is the way back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar, cast

from glimpse.v1 import micro_expressions_pb2 as pb

from server.errors import OptionError
from server.pipeline.base import MODEL_NAME, MODEL_VERSION, check_options, check_stream_options
from server.streams import FRAME_ENCODINGS, BufferPolicy, FrameEncoding, LiveFrame, StreamOptions
from server.types import AnalyzeOptions, Detail, EventKind, FaceChoice
from server.visuals import Extra

T = TypeVar("T")

_FACES: dict[int, FaceChoice] = {0: "largest", 1: "largest", 2: "all"}
_KINDS: dict[int, EventKind] = {1: "micro", 2: "macro"}
_POLICIES: dict[int, BufferPolicy] = {0: "drop_oldest", 1: "wait", 2: "drop_oldest", 3: "drop_latest"}
_ENCODINGS: dict[int, FrameEncoding] = {
    pb.FrameEncoding.Value(f"FRAME_ENCODING_{name.upper()}"): name for name in FRAME_ENCODINGS
}
_EXTRAS: dict[int, Extra] = {1: "signals", 2: "pictures"}
_DETAILS: dict[int, Detail] = {0: "full", 1: "full", 2: "minimal"}
_LATEST_S = 86400.0


def analyze_options(message: pb.AnalyzeOptions) -> AnalyzeOptions:
    """What a caller chose for a clip. Raises `OptionError`."""
    options = AnalyzeOptions(
        model=_text("model", message.model, MODEL_NAME),
        version=_text("version", message.version, MODEL_VERSION),
        faces=_choice("faces", message.faces, _FACES),
        onset_s=_moment("onset_s", message.onset_s) if message.HasField("onset_s") else None,
        apex_s=_moment("apex_s", message.apex_s) if message.HasField("apex_s") else None,
        kinds=_kinds(message.kinds),
        detail=_choice("detail", message.detail, _DETAILS),
        include=frozenset(_choice("include", value, _EXTRAS) for value in message.include),
    )
    check_options(options)
    return options


def stream_options(message: pb.LiveOptions) -> StreamOptions:
    """What a caller chose for a live stream. Raises `OptionError`."""
    options = StreamOptions(
        model=_text("model", message.model, MODEL_NAME),
        version=_text("version", message.version, MODEL_VERSION),
        faces=_choice("faces", message.faces, _FACES),
        kinds=_kinds(message.kinds),
        policy=_choice("policy", message.policy, _POLICIES),
        frame_rate=message.frame_rate or StreamOptions().frame_rate,
        clock_zero_us=message.clock_zero_us if message.HasField("clock_zero_us") else None,
        motion=message.motion,
        detail=_choice("detail", message.detail, _DETAILS),
    )
    check_stream_options(options)
    return options


def live_frame(message: pb.Frame) -> LiveFrame:
    """One picture; an encoding that we do not know is left to whoever reads it, since each picture has its answer."""
    return LiveFrame(
        index=message.frame_index,
        capture_us=message.capture_time_us,
        encoding=_ENCODINGS.get(message.encoding, cast("FrameEncoding", "unknown")),
        data=message.data,
        width=message.width,
        height=message.height,
    )


def _text(option: str, value: str, pattern: str) -> str | None:
    if value and not re.fullmatch(pattern, value):
        raise OptionError(f"{option} does not look like one ({pattern})", option=option, stage="options")
    return value or None


def _choice(option: str, value: int, known: Mapping[int, T]) -> T:
    if value not in known:
        raise OptionError(f"{option} has no value {value}", option=option, stage="options")
    return known[value]


def _kinds(values: Sequence[int]) -> frozenset[EventKind]:
    return frozenset(_choice("kinds", value, _KINDS) for value in values) or AnalyzeOptions().kinds


def _moment(option: str, value: float) -> float:
    if not 0 <= value <= _LATEST_S:
        raise OptionError(f"{option} must be between 0 and {_LATEST_S:g} s", option=option, stage="options")
    return value
