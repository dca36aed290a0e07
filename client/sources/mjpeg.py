"""JPEGs one after the other, as `ffmpeg -f mjpeg -` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from client.errors import SourceError
from client.live_types import Frame

_CHUNK_BYTES = 64 << 10
_MOST_BYTES = 32 << 20
_START = b"\xff\xd8"
_END, _SCAN = 0xD9, 0xDA
_ALONE = {0x01, *range(0xD0, 0xD9)}
# In the coded data of a scan 0xFF is followed by 0, a restart, or another 0xFF that fills (ITU-T T.81, B.1.1).
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


def mjpeg(pipe: BinaryIO, *, rate: float = 30.0) -> Iterator[Frame]:
    """The JPEGs of a pipe, of which nothing has been read, as frames: `rate` of them a second from second 0 on.

    Raises `SourceError`.
    """
    # Below its buffer, whose lock would be held by a thread that waits here while the program ends.
    raw = getattr(pipe, "raw", pipe)
    for number, data in enumerate(jpegs(iter(lambda: raw.read(_CHUNK_BYTES), b""))):
        yield Frame("jpeg", data, round(number * 1e6 / rate))


def jpegs(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The pictures in a stream of bytes, each as soon as its last byte is there.

    Markers are followed, not searched for, so that the thumbnail inside a picture does not end it. Raises
    `SourceError` for what is no JPEG, for one that is cut off at the end, and for one of more than 32 MiB.
    """
    buffer = bytearray()
    walk = _Walk()
    for chunk in chunks:
        buffer += chunk
        while (end := walk.end(buffer)) is not None:
            yield bytes(buffer[:end])
            del buffer[:end]
            walk = _Walk()
        if len(buffer) > _MOST_BYTES:
            raise SourceError(f"a picture has more than {_MOST_BYTES} bytes", code="limit-exceeded")
    if buffer:
        raise SourceError("the last picture is cut off", code="truncated-media")


class _Walk:
    """Follows the markers of one picture through a buffer that grows."""

    def __init__(self) -> None:
        self._at = 0
        self._in_scan = False

    def end(self, data: bytearray) -> int | None:
        """Where the picture ends, None while that has not come. Raises `SourceError` for what is no JPEG."""
        if not self._at:
            if not data.startswith(_START[: len(data)]):
                raise SourceError("where a JPEG should begin, there is something else", code="unreadable-media")
            if len(data) < len(_START):
                return None
            self._at = len(_START)
        while True:
            if self._in_scan:
                found = _MARKER.search(data, self._at)
                if found is None:
                    self._at = max(self._at, len(data) - 1)
                    return None
                self._at, self._in_scan = found.start(), False
            if len(data) < self._at + 4:
                return self._at + 2 if data[self._at : self._at + 2] == b"\xff\xd9" else None
            if data[self._at] != 0xFF:
                raise SourceError("a JPEG has something else where a marker should be", code="unreadable-media")
            marker = data[self._at + 1]
            if marker == _END:
                return self._at + 2
            if marker == 0xFF:
                self._at += 1
            elif marker in _ALONE:
                self._at += 2
            else:
                self._at += 2 + int.from_bytes(data[self._at + 2 : self._at + 4], "big")
                self._in_scan = marker == _SCAN
