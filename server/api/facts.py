"""What a client is told of the service before it sends anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The limits of one service, as its settings have them; those of live streams are in `LiveBounds`. `message_bytes`
    are those of gRPC, `socket_message_bytes` those of WebSocket.
    """

    version: str
    default_model: str
    message_bytes: int
    socket_message_bytes: int
    clip_bytes: int
    clip_s: float
    clip_frames: int
    frame_pixels: int
    faces: int
    codecs: Sequence[str]
