"""Milliseconds per decoded frame, one thread: `python -m bench.decode`."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from fractions import Fraction
from statistics import median

import av
import cv2
import numpy as np

from server.media.decode import open_clip
from server.media.limits import MediaLimits
from server.types import Frame

LIMITS = MediaLimits(clip_seconds=600, clip_frames=100_000, frame_pixels=1 << 24)
CASES = (
    ("libx264", "mp4", 640, 480, 30, 150),
    ("libx264", "mp4", 640, 480, 200, 300),
    ("libx264", "mp4", 1920, 1080, 30, 45),
    ("libvpx-vp9", "webm", 640, 480, 30, 60),
    ("mjpeg", "avi", 640, 480, 200, 150),
    ("rawvideo", "avi", 640, 480, 200, 60),
)


def encode(codec: str, container: str, size: tuple[int, int], fps: int, frames: int) -> bytes:
    """A clip of smooth motion over fixed texture with sensor noise."""
    width, height = size
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.normal(128, 300, (height, width, 3)), (0, 0), 6)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=fps, options={"crf": "18", "deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height = width, height
        stream.pix_fmt = {"mjpeg": "yuvj420p", "rawvideo": "bgr24"}.get(codec, "yuv420p")
        stream.codec_context.thread_count = 1
        for index in range(frames):
            shift = np.float32([[1, 0, 2 * np.sin(3 * index / fps)], [0, 1, np.cos(2 * index / fps)]])
            image = cv2.warpAffine(texture, shift, (width, height)) + rng.normal(0, 1.5, (height, width, 1))
            frame = av.VideoFrame.from_ndarray(np.clip(image, 0, 255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def milliseconds(data: bytes, use: Callable[[Frame], object], repeats: int = 5) -> tuple[float, float]:
    """Median over repeats of the time per frame, and of the second half of a pass relative to the first."""
    per_frame, ratios = [], []
    for _ in range(repeats):
        marks = [time.perf_counter()]
        for frame in open_clip(data, LIMITS):
            use(frame)
            marks.append(time.perf_counter())
        half = len(marks) // 2
        per_frame.append(1000 * (marks[-1] - marks[0]) / (len(marks) - 1))
        ratios.append((marks[-1] - marks[half]) / (len(marks) - 1 - half) / ((marks[half] - marks[1]) / (half - 1)))
    return median(per_frame), median(ratios)


def main() -> None:
    """Print one line for each case."""
    cv2.setNumThreads(1)
    print(f"{'clip':34}{'luma ms':>9}{'+rgb ms':>9}{'2nd/1st half':>14}")
    for codec, container, width, height, fps, frames in CASES:
        data = encode(codec, container, (width, height), fps, frames)
        luma, ratio = milliseconds(data, lambda frame: frame.luma)
        colour, _ = milliseconds(data, lambda frame: frame.rgb(), repeats=2)
        print(f"{f'{codec} {width}x{height} {fps} fps':34}{luma:9.2f}{colour:9.2f}{ratio:14.2f}")


if __name__ == "__main__":
    main()
