"""What a client is told, as JSON: names of the gRPC interface and of the report, told apart by `type`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from pydantic_core import to_json

from server.api.facts import ServerFacts
from server.documents import event_dict
from server.notice import NOTICE
from server.pipeline.base import LiveAnalyzer, OpenStream
from server.streams import (
    FRAME_ENCODINGS,
    Candidate,
    FrameDropped,
    FrameRefused,
    FrameResult,
    LiveEvent,
    LiveFace,
    Onset,
    StreamReply,
    StreamStats,
    Withdrawn,
)
from server.types import FaceQuality

_TYPES: Mapping[type, str] = MappingProxyType(
    {
        FrameDropped: "frame_dropped",
        FrameRefused: "frame_refused",
        Onset: "onset",
        Candidate: "candidate",
        Withdrawn: "withdrawn",
        StreamStats: "stats",
    }
)
_NAMES = {"index": "frame_index", "capture_us": "capture_time_us"}
_NOT_OF_THE_MESSAGE = ("type", "title", "status", "detail", "instance", "errors")


def opened(stream_id: str, stream: OpenStream, facts: ServerFacts, live: LiveAnalyzer) -> str:
    """The first message: who answers, and every limit, before a frame is sent."""
    bounds = live.bounds
    limits = {
        "max_message_bytes": facts.socket_message_bytes,
        "max_frame_pixels": facts.frame_pixels,
        "max_faces": facts.faces,
        "max_live_streams": bounds.max_streams,
        "live_streams": live.streams,
        "max_live_frames_per_second": bounds.frames_per_s,
        "live_frames_per_second": live.frames_per_s,
        "live_idle_seconds": bounds.idle_s,
        "live_buffer_frames": bounds.buffer_frames,
        "frame_encodings": FRAME_ENCODINGS,
    }
    return _text(
        "opened", stream_id=stream_id, model=stream.model, regions=stream.regions, limits=limits, notice=NOTICE
    )


def reply(told: StreamReply) -> str:
    """One answer of a stream."""
    if isinstance(told, FrameResult):
        return _text(
            "frame_result",
            frame_index=told.index,
            capture_time_us=told.capture_us,
            time_s=_number(told.time_s),
            lag_s=_number(told.lag_s),
            faces=[_face(face) for face in told.faces],
        )
    if isinstance(told, LiveEvent):
        return _text("event", movement=told.movement, event=event_dict(told.event))
    members = {_NAMES.get(field.name, field.name): getattr(told, field.name) for field in fields(told)}
    return _text(_TYPES[type(told)], **members)


def failure(problem: Mapping[str, Any]) -> str:
    """A problem document of REST as the message that comes before the connection is closed."""
    members = {name: value for name, value in problem.items() if name not in _NOT_OF_THE_MESSAGE}
    return _text("error", message=problem["detail"], **members)


def _face(face: LiveFace) -> dict[str, Any]:
    return {
        "track_id": face.track_id,
        "state": face.state,
        "eyes_px": [[_number(x) for x in eye] for eye in face.eyes],
        "quality": face.quality
        and {field.name: _number(getattr(face.quality, field.name)) for field in fields(FaceQuality)},
        "motion_iod": [[_number(x) for x in pair] for pair in face.motion],
    }


def _number(value: float) -> float | None:
    """Four decimals, as everywhere in a report; JSON has no other word for what is no number than null."""
    return round(float(value), 4) if math.isfinite(value) else None


def _text(kind: str, **members: Any) -> str:
    return to_json({"type": kind, **members}, inf_nan_mode="null").decode()
