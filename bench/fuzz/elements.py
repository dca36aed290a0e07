"""Where the elements of a file lie: boxes of MP4, elements of Matroska, chunks of AVI and PNG, segments of JPEG."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its whole extent, where its size is written and in how many bytes, and its kind."""

    start: int
    end: int
    size_at: int
    size_bytes: int
    kind: bytes


_BOXES_OF_BOXES = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex", b"dinf", b"udta"}
_MASTERS = {b"\x18\x53\x80\x67", b"\x15\x49\xa9\x66", b"\x16\x54\xae\x6b", b"\xae", b"\xe0", b"\x1f\x43\xb6\x75"}
_MASTERS |= {b"\xa0", b"\x1c\x53\xbb\x6b", b"\xbb", b"\xb7", b"\x11\x4d\x9b\x74", b"\x4d\xbb"}


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Element]:
    """ISO base media boxes, those inside others too."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8]
        stop = start + size if 8 <= size <= end - start else end
        yield Element(start, stop, start, 4, kind)
        if kind in _BOXES_OF_BOXES:
            yield from boxes(data, start + 8, stop)
        elif kind == b"stsd":
            yield from boxes(data, start + 16, stop)
        elif kind in {b"avc1", b"hev1", b"mp4v", b"ap4h", b"av01"}:
            yield from boxes(data, start + 8 + 78, stop)
        start = stop


def ebml(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Element]:
    """EBML elements (RFC 8794), those inside known masters too."""
    end = len(data) if end is None else end
    while start + 2 <= end:
        width = 9 - data[start].bit_length()
        size_at = start + width
        if width > 4 or size_at >= end or not data[size_at]:
            return
        size_bytes = 9 - data[size_at].bit_length()
        raw = int.from_bytes(data[size_at : size_at + size_bytes]) & ((1 << 7 * size_bytes) - 1)
        body = size_at + size_bytes
        stop = min(end, body + raw)
        kind = data[start:size_at]
        yield Element(start, stop, size_at, size_bytes, kind)
        if kind in _MASTERS:
            yield from ebml(data, body, stop)
        start = stop


def riff(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Element]:
    """RIFF chunks, those of lists too."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = int.from_bytes(data[start + 4 : start + 8], "little"), data[start : start + 4]
        stop = min(end, start + 8 + size + size % 2)
        yield Element(start, stop, start + 4, 4, kind)
        if kind in {b"RIFF", b"LIST"}:
            yield from riff(data, start + 12, stop)
        start = stop


def packets(data: bytes) -> Iterator[Element]:
    """Packets of a transport stream; what stands in for a size is their PID."""
    for start in range(0, len(data) - 187, 188):
        yield Element(start, start + 188, start + 1, 2, b"TS")


def segments(data: bytes) -> Iterator[Element]:
    """JPEG segments up to the first scan."""
    start = 2
    while start + 4 <= len(data) and data[start] == 0xFF:
        stop = min(len(data), start + 2 + int.from_bytes(data[start + 2 : start + 4]))
        scan = data[start + 1] == 0xDA
        yield Element(start, len(data) if scan else stop, start + 2, 2, data[start : start + 2])
        if scan:
            return
        start = stop


def chunks(data: bytes) -> Iterator[Element]:
    """PNG chunks."""
    start = 8
    while start + 12 <= len(data):
        stop = min(len(data), start + 12 + int.from_bytes(data[start : start + 4]))
        yield Element(start, stop, start, 4, data[start + 4 : start + 8])
        start = stop


READERS: Mapping[str, Callable[[bytes], Iterator[Element]]] = {
    "mp4": boxes,
    "mov": boxes,
    "webm": ebml,
    "matroska": ebml,
    "avi": riff,
    "mpegts": packets,
    "jpeg": segments,
    "png": chunks,
}


def elements(data: bytes, form: str) -> list[Element]:
    """The elements of a file of one of `READERS`."""
    return list(READERS[form](data))
