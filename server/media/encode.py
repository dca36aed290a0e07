"""Pictures to an H.264 clip in memory that browsers play: MP4 with its index before the pictures."""

from __future__ import annotations

import io
from fractions import Fraction

import av

from server.errors import InputError
from server.types import UInt8Array

MOST_BYTES = 256 * 2**20
_TICKS = 90_000
_HEAD_BYTES, _BYTES_A_FRAME = 4096, 40
"""Room for the index: an entry in each of its tables for a frame takes less."""
_OPTIONS = {
    "preset": "veryfast",
    "crf": "20",
    # One thread and a short look ahead: a worker has one processor, and pictures that wait take memory.
    "x264-params": "threads=1:lookahead-threads=1:sync-lookahead=0:rc-lookahead=10:bframes=0",
}


class ClipWriter:
    """Takes pictures of one size (both sides even) with their times, at most `frames` of them."""

    def __init__(self, width: int, height: int, *, fps: float, frames: int) -> None:
        self._bytes = io.BytesIO()
        room = _HEAD_BYTES + _BYTES_A_FRAME * frames
        options = {"moov_size": str(room), "fflags": "+bitexact"}
        self._container = av.open(self._bytes, "w", format="mp4", options=options)
        rate = Fraction(min(max(fps, 1.0), 1000.0)).limit_denominator(1000)
        stream = self._container.add_stream("libx264", rate=rate, options=_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.codec_context.thread_count = 1
        self._stream = stream
        self._last = -1

    def add(self, picture: UInt8Array, time_s: float) -> None:
        """The next picture, RGB uint8 [height, width, 3], shown from `time_s` on (later than the one before).

        Raises `InputError` where the clip becomes larger than `MOST_BYTES`.
        """
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        self._last = frame.pts = max(round(time_s * _TICKS), self._last + 1)
        frame.time_base = Fraction(1, _TICKS)
        self._mux(frame)
        if self._bytes.tell() > MOST_BYTES:
            raise InputError(f"the annotated clip would be larger than {MOST_BYTES} bytes", stage="annotation")

    def finish(self) -> bytes:
        """The whole clip; nothing can be added any more."""
        self._mux(None)
        self._container.close()
        return self._bytes.getvalue()

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            self._container.mux(packet)
