"""Which container the bytes are, by their content alone, so that libav is told and never guesses.

A guess could choose a demuxer that follows file names or addresses written in the upload (playlists, concat scripts).
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from server.errors import (
    EmptyMedia,
    NoVideoStream,
    TooFewFrames,
    TruncatedMedia,
    UnreadableMedia,
    UnsupportedMedia,
)
from server.media.limits import STAGE
from server.types import Encoded

Container: TypeAlias = Literal["mov", "matroska", "avi", "mpegts"]
"""Names of libav's demuxers: mov is MP4, MOV, 3GP; matroska is also WebM."""

_STILL_BRANDS = {b"avif", b"heic", b"heix", b"mif1"}
_FIRST_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"uuid", b"pnot"}
_WHOLE_BOXES = {b"ftyp", b"moov", b"mdat", b"moof"}
_MOST_BOXES = 1_000_000
_TS_PACKET = 188
_TS_STRIDES = ((0, 188), (4, 192), (0, 204))

_REFERENCES = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(#EXTM3U|ffconcat\b|<\?xml[^>]*>\s*<MPD\b|<MPD\b|<smil\b|\[playlist\]|RTSPtext\b)", re.I
)
_STILL_PICTURES = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*", re.DOTALL)
_SOUNDS = re.compile(rb"RIFF....WAVE|fLaC|ID3[\x02-\x04]|\.snd|FORM....AIF[FC]|#!AMR", re.DOTALL)
_OTHER_CONTAINERS = {
    b"FLV\x01": "Flash video",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "ASF or WMV",
    b"OggS": "Ogg",
    b"\x00\x00\x01\xba": "MPEG program stream",
    b"YUV4MPEG2": "YUV4MPEG",
    b"DKIF": "IVF",
    b".RMF": "RealMedia",
}


def identify(data: Encoded | memoryview) -> Container:
    """Name the demuxer for a clip.

    Raises `EmptyMedia`; `UnreadableMedia` for bytes that are no media; `TruncatedMedia` for an MP4 or MOV whose boxes
    end beyond the bytes or whose index is missing; `NoVideoStream` for sound files; `TooFewFrames` for still
    pictures; `UnsupportedMedia` for other containers, animated pictures and anything that refers to other files.
    """
    view = memoryview(data)
    if not view.nbytes:
        raise EmptyMedia("The upload has 0 bytes.", stage=STAGE)
    head = bytes(view[:4096])
    if head[4:8] in _FIRST_BOXES:
        _check_boxes(view)
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "avi"
    if _is_transport_stream(head):
        return "mpegts"
    _refuse_known(head)
    _refuse_pictures(view)
    raise UnreadableMedia("The bytes are no video container that is known here.", stage=STAGE)


def announces_more(data: Encoded | memoryview, container: Container) -> bool:
    """Whether an AVI header announces more bytes than there are; other containers are judged elsewhere."""
    if container != "avi":
        return False
    announced = int.from_bytes(memoryview(data)[4:8], "little")
    return announced not in (0, 0xFFFFFFFF) and announced + 8 > memoryview(data).nbytes


def _refuse_known(head: bytes) -> None:
    if _REFERENCES.match(head):
        message = "Playlists and scripts that refer to other files are not accepted; send the video itself."
        raise UnsupportedMedia(message, stage=STAGE)
    if _SOUNDS.match(head):
        raise NoVideoStream("The file holds sound only.", stage=STAGE)
    for signature, name in _OTHER_CONTAINERS.items():
        if head.startswith(signature):
            message = f"{name} is not supported; send MP4, MOV, WebM, Matroska, AVI or MPEG-TS."
            raise UnsupportedMedia(message, stage=STAGE)


def _refuse_pictures(view: memoryview) -> None:
    head = bytes(view[:64])
    if head.startswith((b"GIF87a", b"GIF89a")) or _is_animated_png(view) or _is_animated_webp(head):
        message = "Animated pictures (GIF, APNG, WebP) are not supported; convert the animation to MP4 or WebM."
        raise UnsupportedMedia(message, stage=STAGE)
    if _STILL_PICTURES.match(head):
        raise TooFewFrames("A still picture shows no motion; a clip needs at least 2 frames.", stage=STAGE)


def _is_animated_png(view: memoryview) -> bool:
    """Whether an animation is announced before the first picture (PNG specification, third edition, section 11.3.6)."""
    position, kind = 8, b""
    while bytes(view[:6]) == b"\x89PNG\r\n" and position + 8 <= view.nbytes and kind != b"IDAT":
        size, kind = int.from_bytes(view[position : position + 4]), bytes(view[position + 4 : position + 8])
        if kind == b"acTL":
            return True
        position += 12 + size
    return False


def _is_animated_webp(head: bytes) -> bool:
    """The flag of the extended header (RFC 9649, section 2.7)."""
    return head.startswith(b"RIFF") and head[8:16] == b"WEBPVP8X" and bool(head[20:21]) and bool(head[20] & 2)


def _is_transport_stream(head: bytes) -> bool:
    return any(
        len(head) >= first + stride + _TS_PACKET and all(byte == 0x47 for byte in head[first::stride])
        for first, stride in _TS_STRIDES
    )


def _check_boxes(view: memoryview) -> None:
    """Walk the top-level boxes of an ISO base media file (ISO/IEC 14496-12, section 4.2)."""
    if bytes(view[4:8]) == b"ftyp" and bytes(view[8:12]) in _STILL_BRANDS:
        raise TooFewFrames("A still picture shows no motion; a clip needs at least 2 frames.", stage=STAGE)
    position, end, seen, count = 0, view.nbytes, set(), 0
    while position + 8 <= end:
        count += 1
        if count > _MOST_BOXES:
            raise UnsupportedMedia(f"The file has more than {_MOST_BOXES} parts.", stage=STAGE)
        size, kind, header = int.from_bytes(view[position : position + 4]), bytes(view[position + 4 : position + 8]), 8
        if size == 1:
            size, header = int.from_bytes(view[position + 8 : position + 16]), 16
        elif size == 0:
            size = end - position
        beyond = position + size > end
        if size < header or (beyond and kind not in _WHOLE_BOXES):
            break  # what follows the last box is not ours to judge: some cameras append data of their own
        if beyond:
            message = f"The file ends {position + size - end} bytes before its {kind.decode()} box does."
            raise TruncatedMedia(message, stage=STAGE)
        seen.add(kind)
        position += size
    if b"moov" not in seen:
        message = "The index of the file (moov) is missing: the recording or the upload was cut off."
        raise TruncatedMedia(message, stage=STAGE)
