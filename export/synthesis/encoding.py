"""Planes of video to a file, the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av

from server.types import UInt8Array

# Looking ahead, the encoder reads memory that it never wrote where the width is no multiple of 64: bytes would vary.
_ENCODER = "threads=1:rc-lookahead=0:mbtree=0"


def encode_planes(frames: Iterable[UInt8Array], path: Path, fps: int, crf: int) -> int:
    """Write frames, uint8 [3 H / 2, W] 4:2:0 planes, as H.264; returns how many. The file appears when it is whole."""
    draft = path.with_suffix(".part")
    count = 0
    settings = {"crf": str(crf), "preset": "veryfast", "x264-params": _ENCODER}
    with av.open(str(draft), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options=settings)
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        for count, planes in enumerate(frames, start=1):
            if count == 1:
                stream.height, stream.width = planes.shape[0] * 2 // 3, planes.shape[1]
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = count - 1
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    draft.replace(path)
    return count
