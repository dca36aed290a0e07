"""Clips encoded on the spot, with known content."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from server.media.limits import MediaLimits

QUIET = {"libx265": {"x265-params": "log-level=none:pools=none:bframes=3:keyint=12"}}


def scene(index: int, width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3]: a pattern that tells frames, directions and colours apart."""
    y, x = np.mgrid[:height, :width]
    red = 128 + 60 * np.sin((x + 2 * index) / 9)
    green = 40 + 150 * (x / width)
    blue = 40 + 150 * (y / height) + 10 * np.cos((y - index) / 5)
    return np.clip(np.dstack([red, green, blue]), 0, 255).astype(np.uint8)


def encode_clip(
    codec: str = "libx264",
    container: str = "mp4",
    *,
    frames: int = 30,
    fps: int = 30,
    size: tuple[int, int] = (96, 64),
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    rotation: int = 0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    picture: Callable[[int, int, int], np.ndarray] = scene,
    color_range: int | None = None,
    path: Path | None = None,
) -> bytes:
    """Encode `frames` pictures; `times` are their time stamps in `time_base` (1/fps).

    `path` is for muxers that read again what they wrote.
    """
    buffer = io.BytesIO()
    with av.open(str(path) if path else buffer, "w", format=container, options=container_options or {}) as output:
        stream: Any = output.add_stream(codec, rate=fps, options={**QUIET.get(codec, {}), **(options or {})})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if time_base:
            stream.codec_context.time_base = time_base
        if color_range:
            stream.codec_context.color_range = color_range
        if rotation:
            stream.set_display_rotation(rotation)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24")
            # One thread: with several, libswscale now and then writes wrong rows where its slices meet.
            frame = frame.reformat(format=pix_fmt, dst_color_range=color_range, threads=1)
            frame.pts = times[index] if times is not None else index
            frame.time_base = time_base or Fraction(1, fps)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path.read_bytes() if path else buffer.getvalue()


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """The encoder above."""
    return encode_clip


@pytest.fixture(scope="session")
def picture() -> Callable[[int, int, int], np.ndarray]:
    """The content of the encoded clips."""
    return scene


@pytest.fixture
def limits() -> MediaLimits:
    """Limits that none of the clips here passes."""
    return MediaLimits(clip_seconds=60, clip_frames=2000, frame_pixels=1 << 20)
