"""The last pictures of a live stream, as they came, in bounded memory: what a movement is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.media.limits import MediaLimits
from server.media.stream import read_frame
from server.streams import LiveFrame
from server.types import Frame

KEPT_S = 5.0
"""The longest movement and a little more."""
_DENSE_S = 0.75
"""So long every picture is kept; of older ones every second may go, and go again, until the rest has room."""
_OVERHEAD_BYTES = 512


@dataclass(frozen=True, slots=True)
class _Kept:
    picture: LiveFrame
    time_s: float

    @property
    def size(self) -> int:
        return len(self.picture.data) + _OVERHEAD_BYTES


class FrameStore:
    """Pictures by index, at most `most_bytes` of them and none older than `KEPT_S`; the newest is always there."""

    def __init__(self, limits: MediaLimits, most_bytes: int) -> None:
        self._limits = limits
        self._most_bytes = most_bytes
        self._kept: dict[int, _Kept] = {}
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """What is held."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, picture: LiveFrame, time_s: float) -> None:
        """Keep one more, newer than all others."""
        added = _Kept(picture, time_s)
        self._kept[picture.index] = added
        self._bytes += added.size
        for index in [index for index, kept in self._kept.items() if kept.time_s < time_s - KEPT_S]:
            self._drop(index)
        if self._bytes > self._most_bytes:
            self._thin(time_s)

    def frame(self, index: int) -> Frame:
        """The picture of that index, or the nearest that is still there, decoded anew."""
        nearest = index if index in self._kept else min(self._kept, key=lambda known: abs(known - index))
        kept = self._kept[nearest]
        return read_frame(kept.picture, kept.time_s, self._limits)

    def frames(self, indices: Sequence[int]) -> list[Frame]:
        """The first of `indices` or what is nearest to it, and those others that are there."""
        first, *others = indices
        return [self.frame(first), *(self.frame(index) for index in others if index in self._kept)]

    def clear(self) -> None:
        """Forget everything."""
        self._kept, self._bytes = {}, 0

    def _thin(self, now_s: float) -> None:
        old = [index for index, kept in self._kept.items() if kept.time_s < now_s - _DENSE_S]
        for index in old[1::2]:
            self._drop(index)
        while self._bytes > self._most_bytes and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))

    def _drop(self, index: int) -> None:
        self._bytes -= self._kept.pop(index).size
