"""The settings of what is let in."""

from __future__ import annotations

from pydantic import Field

from server.settings.group import MIB, Group
from server.settings.workers import available_cpus


class LimitSettings(Group):
    """What one request, and all requests together, may take."""

    upload_bytes: int = Field(default=256 * MIB, ge=1024, le=4096 * MIB, description="Largest body of a request.")
    clip_seconds: float = Field(default=300.0, gt=0, le=86400, description="Longest clip.")
    clip_frames: int = Field(default=60_000, ge=1, le=10_000_000, description="Most frames of a clip.")
    frame_pixels: int = Field(default=4096 * 2304, ge=4096, le=2**28, description="Largest picture, width x height.")
    clip_pixels: int = Field(
        default=20_000_000_000,
        ge=4096,
        le=10**13,
        description="Most pixels of all pictures of a clip together; five minutes of Full HD by default.",
    )
    index_entries: int = Field(
        default=1_000_000,
        ge=1024,
        le=10**9,
        description="Most entries of a table in the index of an MP4, and most boxes of the file.",
    )
    scans: int = Field(
        default=64, ge=1, le=65536, description="Most scans of a progressive JPEG; cameras and editors write 3 to 12."
    )
    faces: int = Field(default=16, ge=1, le=256, description="Most faces followed in one clip.")
    inflight: int = Field(
        default_factory=lambda: max(16, 2 * available_cpus()),
        ge=1,
        le=4096,
        description="Requests that are worked on at a time; by default 16, or two for each processor.",
    )
    queued: int = Field(default=32, ge=0, le=65536, description="Requests that may wait; one more is answered 429.")
    buffered_bytes: int = Field(
        default=2048 * MIB, ge=1024, le=2**40, description="Most memory that all uploads together may hold."
    )
    upload_idle_seconds: float = Field(
        default=15.0, gt=0, le=600, description="Longest pause between two pieces of an upload."
    )
    upload_bytes_per_second: int = Field(
        default=1024,
        ge=1,
        le=2**40,
        description="Least rate of an upload; it may lag behind for the longest pause.",
    )
    uploads: int = Field(
        default=128, ge=1, le=65536, description="Uploads in progress at a time; one more is answered 429."
    )
