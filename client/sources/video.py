"""Frames of a video file, with its own time stamps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from client.errors import SourceError
from client.live_types import Frame
from client.pictures import Encode, frame_of

_NOMINAL_RATE = Fraction(30)


class VideoFile:
    """The frames of the first video stream of a file, upright, as an iterable that can be run through again.

    `rate` is the frames per second that the file states. Raises `SourceError` where the file is not there or no video.
    """

    def __init__(self, path: str | os.PathLike[str], *, encode: Encode = "jpeg", gray: bool = False) -> None:
        self._path = os.fspath(path)
        self._encode: Encode = encode
        self._format = "gray" if gray else "bgr24"
        with self._opened() as container:
            stream = container.streams.video[0]
            self.rate = float(stream.average_rate or stream.guessed_rate or _NOMINAL_RATE)

    def __iter__(self) -> Iterator[Frame]:
        """Every frame; one without a time stamp, or whose stamp does not rise, follows 1 µs after the one before."""
        latest = -1
        with self._opened() as container:
            try:
                for picture in container.decode(container.streams.video[0]):
                    stamp = latest if picture.time is None else round(picture.time * 1e6)
                    latest = max(stamp, latest + 1)
                    upright = np.rot90(picture.to_ndarray(format=self._format), round(picture.rotation / 90) % 4)
                    yield frame_of(np.ascontiguousarray(upright), latest, encode=self._encode)
            except av.FFmpegError as error:
                raise SourceError(f"{self._path}: {error.strerror}", code="unreadable-media") from None

    def _opened(self) -> av.container.InputContainer:
        try:
            container = av.open(self._path)
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"{self._path}: {error.strerror}", code="unreadable-media") from None
        if not container.streams.video:
            container.close()
            raise SourceError(f"{self._path}: no video in this file", code="no-video")
        return container
