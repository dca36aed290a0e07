"""The settings of live streams."""

from __future__ import annotations

from pydantic import Field

from server.settings.group import MIB, Group


class LiveSettings(Group):
    """What live streams may take."""

    max_streams: int = Field(
        default=16, ge=1, le=256, description="Live streams at a time, a process for each; one more is refused."
    )
    frames_per_second: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        description="What all live streams together may send; 0: as much as is measured at start.",
    )
    tenant_share: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description="Share of the streams and of their frames per second that a caller may take with several of them.",
    )
    idle_seconds: float = Field(
        default=30.0, gt=0, le=3600, description="Longest pause between two frames of a live stream."
    )
    buffer_frames: int = Field(default=64, ge=1, le=65536, description="Frames of one live stream that may wait.")
    buffer_bytes: int = Field(
        default=64 * MIB, ge=1024, le=2**36, description="Memory that waiting frames of one live stream may hold."
    )
    store_bytes: int = Field(
        default=64 * MIB, ge=MIB, le=2**36, description="Memory for the last seconds of one live stream."
    )
    inference_seconds: float = Field(
        default=5.0, gt=0, le=600, description="Longest inference of one movement of a live stream."
    )
    answer_seconds: float = Field(
        default=30.0, gt=0, le=600, description="Longest time that a worker may take over what it was sent of a stream."
    )
