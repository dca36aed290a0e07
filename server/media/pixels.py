"""A decoded picture to upright arrays: luma on one scale, RGB on demand.

The scale is the coded one of nearly all video: studio range, black 16 and white 235 (ITU-R BT.601), because it costs
nothing to read. Whatever is coded otherwise (full range, RGB, palettes, more than 8 bits) is brought to it, so
that brightness thresholds mean the same for a WebM from a browser, a JPEG and an AVI of a laboratory camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from server.errors import UnsupportedMedia
from server.media.limits import STAGE
from server.types import UInt8Array

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_STUDIO, _FULL = 1, 2  # AVCOL_RANGE_MPEG, AVCOL_RANGE_JPEG
_CONVERTIBLE = {0, 1, 2, 4, 5, 6, 7, 9}  # AVCOL_SPC_*: RGB, BT.709, unspecified, FCC, BT.601 twice, SMPTE 240M, BT.2020
_STUDIO_BLACK, _STUDIO_PER_FULL = 16.0, 219 / 255
_PLANAR = {f"yuv{chroma}p" for chroma in (410, 411, 420, 422, 440, 444)}
_PLANAR_FULL = {f"yuvj{chroma}p" for chroma in (411, 420, 422, 440, 444)}
_EIGHT_BIT_LUMA_FIRST = _PLANAR | _PLANAR_FULL | {"nv12", "nv21", "gray"}
_FULL_UNLESS_SAID = _PLANAR_FULL | {"gray"}


def studio(gray: UInt8Array) -> UInt8Array:
    """Full range, uint8 [H, W], as studio range."""
    return np.asarray(cv2.convertScaleAbs(gray, alpha=_STUDIO_PER_FULL, beta=_STUDIO_BLACK), np.uint8)


@dataclass(frozen=True, slots=True)
class Orientation:
    """How coded pictures must be turned to be upright: transposed first, then mirrored."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def of(cls, picture: VideoFrame) -> Orientation:
        """From the display matrix (ISO/IEC 14496-12, section 6.2.2), to the nearest right angle."""
        try:
            data = cast("Mapping[str, Any]", picture.side_data).get("DISPLAYMATRIX")
        except ValueError:
            # PyAV refuses all side data where it does not know one kind; the angle alone can still be had.
            return cls._of_angle(picture.rotation)
        if data is None:
            return cls()
        a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(data), np.int32)[:5])
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(mirror_x=a < 0, mirror_y=d < 0)
        return cls(transpose=True, mirror_x=c < 0, mirror_y=b < 0)

    @classmethod
    def _of_angle(cls, degrees: int) -> Orientation:
        quarters = round(degrees / 90) % 4  # counter-clockwise
        return cls(transpose=quarters % 2 == 1, mirror_x=quarters in (2, 3), mirror_y=quarters in (1, 2))

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the upright picture."""
        return (height, width) if self.transpose else (width, height)

    def apply(self, image: UInt8Array) -> UInt8Array:
        """Turn [H, W] or [H, W, 3]; the same array where nothing is to do, else a contiguous new one."""
        if self == Orientation():
            return image
        if self.transpose:
            image = image.swapaxes(0, 1)
        step_y, step_x = (-1 if mirrored else 1 for mirrored in (self.mirror_y, self.mirror_x))
        return np.ascontiguousarray(image[::step_y, ::step_x])


class PixelReader:
    """Reads the pictures of one clip, all turned by the same `orientation`. Not for use by several threads."""

    def __init__(self, orientation: Orientation) -> None:
        self.orientation = orientation
        self._reformatter = VideoReformatter()

    def luma(self, picture: VideoFrame) -> UInt8Array:
        """uint8 [H, W], studio range, read-only.

        Where the coded plane serves as it is, the array is a view on it whose rows lie further apart than they are
        long; it keeps the decoded picture alive.
        """
        name = picture.format.name
        if name not in _EIGHT_BIT_LUMA_FIRST:
            picture = self._convert(picture, format="yuv420p", dst_color_range=_STUDIO)
        plane = picture.planes[0]
        if plane.line_size < picture.width:
            raise UnsupportedMedia("Pictures are stored bottom up in a format where that is not allowed.", stage=STAGE)
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        luma: UInt8Array = rows[: picture.height, : picture.width]
        if self._is_full(name, picture.color_range):
            luma = studio(luma)
        luma = self.orientation.apply(luma)
        luma.flags.writeable = False
        return luma

    def rgb(self, picture: VideoFrame) -> UInt8Array:
        """uint8 [H, W, 3], full range, a new array."""
        image = self._convert(picture, format="rgb24", dst_color_range=_FULL).to_ndarray()
        return self.orientation.apply(np.asarray(image, np.uint8))

    def resize(self, picture: VideoFrame, width: int, height: int) -> VideoFrame:
        """The picture at another coded size, for streams that change it midway."""
        return self._convert(picture, width=width, height=height)

    def _convert(self, picture: VideoFrame, **wanted: Any) -> VideoFrame:
        if picture.colorspace not in _CONVERTIBLE:
            # Reserved and rare colour matrices are refused by libswscale; for hue that no stage reads, BT.601 will do.
            wanted |= {"src_colorspace": "ITU601", "dst_colorspace": "ITU601"}
        return self._reformatter.reformat(picture, threads=1, **wanted)

    @staticmethod
    def _is_full(name: str, color_range: int) -> bool:
        if name not in _EIGHT_BIT_LUMA_FIRST:
            return False
        return color_range == _FULL or (name in _FULL_UNLESS_SAID and color_range != _STUDIO)
