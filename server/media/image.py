"""A still picture (JPEG, PNG, BMP, WebP) to a frame, through the same decoders and scale as clips."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Literal, cast

import av
import cv2
import numpy as np

from server.errors import EmptyMedia, TruncatedMedia, UnreadableMedia, UnsupportedMedia
from server.media import jpeg, png
from server.media.limits import STAGE, MediaLimits
from server.media.pixels import Orientation, PixelReader, studio
from server.types import Encoded, Frame

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

_PNG_END = b"IEND"
_EXIF = re.compile(rb"(?:Exif\0\0|eXIf|EXIF.{4})(II\*\0|MM\0\*)", re.DOTALL)
_EXIF_ORIENTATION_TAG = 0x0112
_ORIENTATIONS = {
    2: Orientation(mirror_x=True),
    3: Orientation(mirror_x=True, mirror_y=True),
    4: Orientation(mirror_y=True),
    5: Orientation(transpose=True),
    6: Orientation(transpose=True, mirror_x=True),
    7: Orientation(transpose=True, mirror_x=True, mirror_y=True),
    8: Orientation(transpose=True, mirror_y=True),
}


def read_image(data: Encoded | memoryview, limits: MediaLimits) -> Frame:
    """Decode one picture, upright (EXIF orientation applied): `index` 0, `time_s` 0, luma in studio range as in clips.

    Raises `EmptyMedia`, `UnreadableMedia`, `TruncatedMedia` for a picture that is cut off, `UnsupportedMedia` for other
    formats, and `LimitExceeded` before memory is taken for a picture that is too large.
    """
    data = bytes(data)
    if not data:
        raise EmptyMedia("The picture has 0 bytes.", stage=STAGE)
    codec, width, height = _identify(data)
    limits.check_pixels(width, height)
    if codec == "mjpeg":
        jpeg.check_scans(data, limits)
    cut = _is_cut(codec, data)
    packet = data if codec != "png" or cut else png.lean(data, limits)
    context = cast("VideoCodecContext", av.CodecContext.create(codec, "r"))
    context.thread_count = 1
    context.options = {"max_pixels": str(limits.decoder_pixels)}
    try:
        pictures = [*context.decode(av.Packet(packet)), *context.decode(None)]
    except av.FFmpegError:
        pictures = []
    picture = next(iter(pictures), None)
    if cut or (picture is not None and picture.is_corrupt):
        raise TruncatedMedia("The picture is cut off or damaged.", stage=STAGE)
    if picture is None:
        raise UnreadableMedia("The picture is damaged and cannot be decoded.", stage=STAGE)
    limits.check_pixels(picture.width, picture.height)
    reader = PixelReader(_orientation(data))
    return Frame(0, 0.0, reader.luma(picture), partial(reader.rgb, picture))


def read_picture(data: Encoded, limits: MediaLimits) -> Frame:
    """As `read_image`, in half of the time for a JPEG: only its luma is decoded, and colour where it is asked for.

    Another decoder rounds otherwise, so that its luma may be one level off.
    """
    if not data.startswith(jpeg.START):
        return read_image(data, limits)
    _, width, height = _identify(data)
    limits.check_pixels(width, height)
    jpeg.check_scans(data, limits)
    if _is_cut("mjpeg", data):
        raise TruncatedMedia("The picture is cut off or damaged.", stage=STAGE)
    gray = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    if gray is None or gray.shape != (height, width):
        return read_image(data, limits)
    luma = _orientation(data).apply(studio(np.asarray(gray, np.uint8)))
    luma.flags.writeable = False
    return Frame(0, 0.0, luma, lambda: read_image(data, limits).rgb())


def _is_cut(codec: str, data: Encoded) -> bool:
    """Whether the last part of the format is missing, or the header announces more bytes than there are."""
    match codec:
        case "mjpeg":
            return data.rfind(jpeg.END) <= data.rfind(jpeg.SCAN)
        case "png":
            return _PNG_END not in data
        case "bmp":
            return int.from_bytes(data[2:6], "little") > len(data)
        case _:
            # Some writers leave out the last byte where it only makes the length even.
            return int.from_bytes(data[4:8], "little") + 7 > len(data)


def _orientation(data: Encoded) -> Orientation:
    """From the first directory of the EXIF block (CIPA DC-008, section 4.6.4), upright where there is none."""
    block = _EXIF.search(data, 0, jpeg.first_scan(data) if data.startswith(jpeg.START) else len(data))
    if block is None:
        return Orientation()
    tiff = data[block.start(1) : block.start(1) + (1 << 16)]
    order: Literal["big", "little"] = "little" if tiff.startswith(b"II") else "big"
    directory = int.from_bytes(tiff[4:8], order)
    entries = int.from_bytes(tiff[directory : directory + 2], order)
    for start in range(directory + 2, min(directory + 2 + 12 * entries, len(tiff)), 12):
        if int.from_bytes(tiff[start : start + 2], order) == _EXIF_ORIENTATION_TAG:
            return _ORIENTATIONS.get(int.from_bytes(tiff[start + 8 : start + 10], order), Orientation())
    return Orientation()


def _identify(head: Encoded) -> tuple[str, int, int]:
    """Decoder, width and height, as the header states them."""
    if head.startswith(jpeg.START):
        return ("mjpeg", *jpeg.size(head))
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
        return ("png", *_numbers(head, 16, 4, "big"))
    if head.startswith(b"BM"):
        width, height = (_signed(value) for value in _numbers(head, 18, 4, "little"))
        return ("bmp", abs(width), abs(height))
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return ("webp", *_webp_size(head))
    if head.startswith((b"GIF8", b"II*\0", b"MM\0*")) or head[4:8] == b"ftyp":
        raise UnsupportedMedia("The picture format is not supported; send JPEG, PNG, BMP or WebP.", stage=STAGE)
    raise UnreadableMedia("The bytes are no picture that is known here.", stage=STAGE)


def _webp_size(head: Encoded) -> tuple[int, int]:
    """From the first chunk (RFC 9649, sections 2.5 to 2.7)."""
    kind = head[12:16]
    if len(head) < 30:
        raise TruncatedMedia("The picture ends within its header.", stage=STAGE)
    if kind == b"VP8X":
        if head[20] & 2:
            raise UnsupportedMedia("Animated WebP is not supported; send one picture.", stage=STAGE)
        width, height = _numbers(head, 24, 3, "little")
        return width + 1, height + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = _numbers(head, 26, 2, "little")
    return width & 0x3FFF, height & 0x3FFF


def _numbers(head: Encoded, start: int, size: int, order: Literal["big", "little"]) -> tuple[int, int]:
    """Two neighbouring unsigned integers of `size` bytes."""
    first, second = head[start : start + size], head[start + size : start + 2 * size]
    if len(second) < size:
        raise TruncatedMedia("The picture ends within its header.", stage=STAGE)
    return int.from_bytes(first, order), int.from_bytes(second, order)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value
