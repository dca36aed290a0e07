"""What the index of an MP4 or MOV announces, looked at before libav takes time and memory for it.

A few bytes can announce a table of milliards of samples, edits that show the whole clip a million times, or an index
that unfolds to a gigabyte. Nothing of that has to be believed to be refused (ISO/IEC 14496-12, sections 8.6 to 8.8;
QuickTime File Format, compressed movie resources).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from server.errors import UnsupportedMedia
from server.media.limits import STAGE, MediaLimits
from server.types import Encoded

_HEAD = struct.Struct(">I4s")
_INSIDE = {b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl", b"moof", b"traf"}
_TABLES = {b"stts", b"ctts", b"cslg", b"stsc", b"stco", b"co64", b"stss", b"stps", b"elst"}
_DEEPEST = 6


@dataclass(slots=True)
class _Track:
    """What one track announces. `one_tick` is a track whose samples last one tick each, as uncompressed sound, of which
    libav keeps chunks instead of samples.
    """

    video: bool = False
    samples: int = 0
    edits: int = 1
    alike: bool = False
    one_tick: bool = False


@dataclass(slots=True)
class _Count:
    """What was met so far."""

    limits: MediaLimits
    boxes: int = 0
    fragments: int = 0
    tracks: list[_Track] = field(default_factory=list)


def check_index(data: Encoded | memoryview, limits: MediaLimits) -> None:
    """Raise `LimitExceeded` for an index that announces too many frames or entries, `UnsupportedMedia` for a compressed
    one. What else may be wrong with it is left to libav.
    """
    count = _Count(limits)
    _walk(memoryview(data).cast("B"), 0, memoryview(data).nbytes, count, 0)
    for track in count.tracks:
        if track.video:
            limits.check_frames(track.samples)
        if track.video or not (track.alike and track.one_tick):
            limits.check_entries(track.samples * max(1, track.edits))


def _walk(view: memoryview, start: int, end: int, count: _Count, depth: int) -> None:
    for kind, body, stop in _boxes(view, start, end):
        count.boxes += 1
        count.limits.check_entries(count.boxes)
        if kind == b"trak":
            count.tracks.append(_Track())
        if kind == b"cmov":
            raise UnsupportedMedia("The index of the file is compressed; save it in today's form of MP4.", stage=STAGE)
        if kind in _INSIDE and depth < _DEEPEST:
            _walk(view, body, stop, count, depth + 1)
        elif kind == b"trun":
            count.fragments += _number(view, body + 4, stop)
            count.limits.check_entries(count.fragments)
        elif count.tracks:
            _note(view, kind, body, stop, count)


def _boxes(view: memoryview, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, beginning of the content and end of each box."""
    while start + 8 <= end:
        size, kind = _HEAD.unpack_from(view, start)
        head = 8
        if size == 1:
            size, head = int.from_bytes(view[start + 8 : start + 16]), 16
        elif size == 0:
            size = end - start
        if size < head:
            return
        yield kind, start + head, min(end, start + size)
        start += size


def _note(view: memoryview, kind: bytes, body: int, stop: int, count: _Count) -> None:
    track = count.tracks[-1]
    if kind == b"hdlr":
        track.video = bytes(view[body + 8 : body + 12]) == b"vide"
    elif kind in {b"stsz", b"stz2"}:
        track.alike = kind == b"stsz" and _number(view, body + 4, stop) > 0
        track.samples = _number(view, body + 8, stop)
    elif kind in _TABLES:
        entries = _number(view, body + 4, stop)
        count.limits.check_entries(entries)
        if kind == b"elst":
            track.edits = entries
        elif kind == b"stts":
            track.one_tick = entries == 1 and _number(view, body + 12, stop) == 1


def _number(view: memoryview, at: int, stop: int) -> int:
    return int.from_bytes(view[at : at + 4]) if at + 4 <= stop else 0
