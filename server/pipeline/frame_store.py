"""The last pictures of a live stream, as they came, in bounded memory: what a movement is measured on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from server.errors import FaceLost
from server.media.limits import MediaLimits
from server.media.stream import read_frame
from server.streams import LiveFrame
from server.types import Frame

KEPT_S = 5.0
"""The longest movement and a little more."""
_DENSE_S = 0.75
"""So long every picture is kept; of older ones every second may go, and go again, until the rest has room."""
_HELD_S = 0.05
"""Pictures this near to a moment that is held are the last to go: a boundary that is looked at again moves no more."""
_NEAR_S = 0.05
"""A picture this far from the one that is wanted shows another moment of a micro-expression."""
_OVERHEAD_BYTES = 512


@dataclass(frozen=True, slots=True)
class _Kept:
    picture: LiveFrame
    time_s: float

    @property
    def size(self) -> int:
        return len(self.picture.data) + _OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Some pictures of a store, which outlast it there; they are decoded when they are asked for, in any thread."""

    _kept: Mapping[int, _Kept]
    _limits: MediaLimits

    def frame(self, index: int, time_s: float) -> Frame:
        """The picture of that index and time, or the nearest that is still there.

        Raises `FaceLost` where that one shows another moment.
        """
        kept = self._kept.get(index) or _nearest(self._kept, time_s)
        if kept is None:
            raise FaceLost(f"frame {index} is no longer kept", stage="live", frame=index)
        return self._decoded(kept)

    def frames(self, indices: Sequence[int], time_s: float) -> list[Frame]:
        """The first of `indices`, whose time is given, or what is nearest to it, and those others that are there."""
        first, *others = indices
        return [self.frame(first, time_s), *self.there(others)]

    def there(self, indices: Iterable[int]) -> list[Frame]:
        """Those of `indices` that are there."""
        return [self._decoded(self._kept[index]) for index in indices if index in self._kept]

    def _decoded(self, kept: _Kept) -> Frame:
        return read_frame(kept.picture, kept.time_s, self._limits)


class FrameStore:
    """Pictures by index, at most `most_bytes` of them and none older than `KEPT_S`; the newest is always there."""

    def __init__(self, limits: MediaLimits, most_bytes: int) -> None:
        self._limits = limits
        self._most_bytes = most_bytes
        self._kept: dict[int, _Kept] = {}
        self._bytes = 0
        self._held_s: tuple[float, ...] = ()

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
        while self._oldest().time_s < time_s - KEPT_S:
            self._drop(next(iter(self._kept)))
        if self._bytes > self._most_bytes:
            self._thin(time_s)

    def hold(self, moments_s: Iterable[float]) -> None:
        """The onsets and apices of movements that are under way: their pictures will be wanted."""
        self._held_s = tuple(moments_s)

    def excerpt(self, indices: Iterable[int], moments_s: Iterable[float]) -> Excerpt:
        """Those of `indices` that are there, and what is nearest to each of `moments_s`."""
        nearest = (_nearest(self._kept, moment_s) for moment_s in moments_s)
        wanted = {*indices, *(kept.picture.index for kept in nearest if kept is not None)}
        return Excerpt({index: self._kept[index] for index in sorted(wanted) if index in self._kept}, self._limits)

    def clear(self) -> None:
        """Forget everything."""
        self._kept, self._bytes, self._held_s = {}, 0, ()

    def _thin(self, now_s: float) -> None:
        *past, _ = self._kept
        free = [index for index in past if not self._is_held(self._kept[index].time_s)]
        old = [index for index in free if self._kept[index].time_s < now_s - _DENSE_S]
        for index in old[1::2]:
            self._drop(index)
        # What is not held goes first, the oldest of it before the rest; then what is.
        for index in (*free, *past):
            if self._bytes <= self._most_bytes:
                break
            if index in self._kept:
                self._drop(index)

    def _is_held(self, time_s: float) -> bool:
        return any(abs(time_s - moment_s) <= _HELD_S for moment_s in self._held_s)

    def _oldest(self) -> _Kept:
        return next(iter(self._kept.values()))

    def _drop(self, index: int) -> None:
        self._bytes -= self._kept.pop(index).size


def _nearest(known: Mapping[int, _Kept], time_s: float) -> _Kept | None:
    """The picture that shows the moment `time_s`, if there is one."""
    kept = min(known.values(), key=lambda each: abs(each.time_s - time_s), default=None)
    return kept if kept is not None and abs(kept.time_s - time_s) <= _NEAR_S else None
