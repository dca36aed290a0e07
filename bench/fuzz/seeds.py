"""What is mutated: small clips in every container and codec that is let in, and small pictures."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

os.environ.setdefault("SVT_LOG", "0")
SAMPLES = Path(__file__).parents[2] / "samples"

_FACE_SIZE, _SIZE, _FRAMES = (224, 168), (160, 120), 12
_CLIPS = {
    # name: codec, container, pixel format, options, options of the container, with a face
    "h264.mp4": ("libx264", "mp4", "yuv420p", {"bf": "2", "crf": "30"}, {}, True),
    "h264-fragmented.mp4": (
        "libx264",
        "mp4",
        "yuv420p",
        {"crf": "40"},
        {"movflags": "frag_keyframe+empty_moov"},
        False,
    ),
    "h264.mov": ("libx264", "mov", "yuv420p", {"crf": "40"}, {}, False),
    "h264.mkv": ("libx264", "matroska", "yuv420p", {"crf": "40"}, {}, False),
    "h264.ts": ("libx264", "mpegts", "yuv420p", {"crf": "40"}, {}, False),
    "hevc.mp4": ("libx265", "mp4", "yuv420p", {"x265-params": "log-level=none:pools=none:crf=40"}, {}, False),
    "vp8.webm": ("libvpx", "webm", "yuv420p", {"deadline": "realtime", "crf": "50", "b": "60k"}, {}, True),
    "vp9.webm": ("libvpx-vp9", "webm", "yuv420p", {"deadline": "realtime", "crf": "50", "b": "0"}, {}, False),
    "av1.mp4": ("libsvtav1", "mp4", "yuv420p", {"preset": "12", "crf": "60", "svtav1-params": "lp=1"}, {}, False),
    "mjpeg.avi": ("mjpeg", "avi", "yuvj420p", {"qmin": "20", "qmax": "20"}, {}, False),
    "mpeg4.avi": ("mpeg4", "avi", "yuv420p", {"qmin": "20", "qmax": "20"}, {}, False),
    "ffv1.mkv": ("ffv1", "matroska", "yuv420p", {}, {}, False),
    "prores.mov": ("prores_ks", "mov", "yuv422p10le", {"profile": "0", "bits_per_mb": "200"}, {}, False),
    "raw.avi": ("rawvideo", "avi", "gray", {}, {}, False),
}
_FORMS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm", "ts": "mpegts", "avi": "avi"}
_PICTURE_FORMS = {"jpg": "jpeg", "png": "png", "bmp": "bytes", "webp": "avi"}


def form_of(name: str) -> str:
    """The reader of elements for a seed: one of `elements.READERS`, or `bytes`."""
    ending = name.rpartition(".")[2]
    return {**_FORMS, **_PICTURE_FORMS}[ending]


def clips() -> dict[str, bytes]:
    """Clips by name, some with a face, of a dozen frames."""
    faces = list(_face_frames(_FACE_SIZE))
    plain = [_noise(index) for index in range(_FRAMES)]
    tiny = [picture[:48, :64] for picture in plain]
    chosen = {name: faces if how[5] else tiny if name == "raw.avi" else plain for name, how in _CLIPS.items()}
    return {name: _encode(chosen[name], *how[:5]) for name, how in _CLIPS.items()}


def pictures() -> dict[str, bytes]:
    """Pictures by name, all of one face."""
    rgb = next(_face_frames(_FACE_SIZE))
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    ways: dict[str, tuple[Any, list[int]]] = {
        "baseline.jpg": (bgr, [cv2.IMWRITE_JPEG_QUALITY, 60]),
        "progressive.jpg": (bgr, [cv2.IMWRITE_JPEG_QUALITY, 60, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        "gray.jpg": (cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), [cv2.IMWRITE_JPEG_QUALITY, 60]),
        "gray.png": (cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY), []),
        "sixteen.png": (cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)[:84, :112].astype(np.uint16) * 257, []),
        "small.bmp": (cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)[:84, :112], []),
        "lossy.webp": (bgr, [cv2.IMWRITE_WEBP_QUALITY, 40]),
    }
    return {name: _written(name, *how) for name, how in ways.items()}


def _written(name: str, picture: Any, how: list[int]) -> bytes:
    return cv2.imencode("." + name.rpartition(".")[2], picture, how)[1].tobytes()


def _face_frames(size: tuple[int, int]) -> Iterator[Any]:
    """uint8 [H, W, 3] around the movement of a sample."""
    with av.open(str(SAMPLES / "negative.mp4")) as source:
        for index, frame in enumerate(source.decode(video=0)):
            if 30 <= index < 30 + _FRAMES:
                yield cv2.resize(frame.to_ndarray(format="rgb24"), size, interpolation=cv2.INTER_AREA)


def _noise(index: int) -> Any:
    width, height = _SIZE
    y, x = np.mgrid[:height, :width]
    return np.clip(np.dstack([128 + 60 * np.sin((x + 2 * index) / 9), x, y]), 0, 255).astype(np.uint8)


@contextmanager
def _same_scheduling() -> Iterator[None]:
    """SVT-AV1 gives the thread that opens it real-time priority where it may (as root), and with it whatever that
    thread starts from then on: a few busy processes of that kind stop a machine.
    """
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def _encode(frames: list[Any], codec: str, container: str, pix_fmt: str, *options_of_both: dict[str, str]) -> bytes:
    options, muxing = options_of_both
    buffer = io.BytesIO()
    with _same_scheduling(), av.open(buffer, "w", format=container, options=muxing) as out:
        stream: Any = out.add_stream(codec, rate=30, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt, threads=1)
            frame.pts, frame.time_base = index, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return buffer.getvalue()
