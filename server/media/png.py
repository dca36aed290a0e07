"""A PNG without what a decoder could be led astray by: texts and profiles that unfold to gigabytes, animations, and
data beyond the last row (PNG specification, third edition; a byte of its compression can stand for a thousand).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NoReturn

from server.errors import UnreadableMedia
from server.media.limits import STAGE, MediaLimits
from server.types import Encoded

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")
_HEADER_END = 8 + 12 + _HEADER.size
_KEPT = {b"PLTE": 3 * 256, b"tRNS": 256, b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}
"""Chunks that say something of the pixels, and how long they may be."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_MOST_CHUNKS = 1 << 16
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps between them, of each pass."""


def lean(data: Encoded, limits: MediaLimits) -> bytes:
    """The same picture of nothing but header, palette and as many compressed bytes as its rows need.

    Raises `LimitExceeded` for a picture that is too large, `UnreadableMedia` for one whose rows are not all there.
    """
    if len(data) < _HEADER_END:
        _refuse()
    header = _HEADER.unpack_from(data, 16)
    limits.check_pixels(*header[:2])
    needed = _row_bytes(*header)
    kept, pieces = [_SIGNATURE, data[8:_HEADER_END]], []
    for kind, start, end in _chunks(data):
        if kind == b"IDAT":
            pieces.append(data[start + 8 : end - 4])
        elif not pieces and end - start - 12 <= _KEPT.get(kind, -1):
            kept.append(data[start:end])
    rows = _inflated(b"".join(pieces), needed)
    return b"".join((*kept, _chunk(b"IDAT", zlib.compress(rows, 0)), _chunk(b"IEND", b"")))


def _chunks(data: Encoded) -> Iterator[tuple[bytes, int, int]]:
    """Kind, beginning and end of each whole chunk after the header."""
    position = _HEADER_END
    for _ in range(_MOST_CHUNKS):
        if position + 12 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + size
        if kind == b"IEND" or end > len(data):
            return
        yield kind, position, end
        position = end
    message = f"The PNG has more than {_MOST_CHUNKS} parts."
    raise UnreadableMedia(message, stage=STAGE)


def _inflated(data: bytes, needed: int) -> bytes:
    """As many bytes as there must be, and not one more."""
    try:
        rows = zlib.decompressobj().decompress(data, needed)
    except zlib.error:
        _refuse()
    if len(rows) < needed:
        _refuse()
    return rows


def _row_bytes(width: int, height: int, depth: int, colour: int, _: int, __: int, interlace: int) -> int:
    """Bytes of all rows with the filter byte before each (sections 7 and 8 of the specification)."""
    if colour not in _CHANNELS or depth not in {1, 2, 4, 8, 16} or not width or not height:
        _refuse()
    bits = depth * _CHANNELS[colour]
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    total = 0
    for first_x, first_y, step_x, step_y in passes:
        columns, rows = (width - first_x + step_x - 1) // step_x, (height - first_y + step_y - 1) // step_y
        total += rows * (1 + (columns * bits + 7) // 8) if columns > 0 else 0
    return total


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _refuse() -> NoReturn:
    raise UnreadableMedia("The picture is damaged and cannot be decoded.", stage=STAGE)
