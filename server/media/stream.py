"""The pictures of a live stream to frames: compressed ones through the decoder of stills, raw ones as they are."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from server.errors import OptionError
from server.media.image import read_picture
from server.media.limits import STAGE, MediaLimits
from server.media.pixels import studio
from server.streams import LiveFrame
from server.types import Frame, UInt8Array

_CHANNELS = {"gray8": 1, "bgr8": 3}
_COMPRESSED = ("jpeg", "png")


def read_frame(picture: LiveFrame, time_s: float, limits: MediaLimits) -> Frame:
    """One picture as a frame at `time_s` of the stream, its luma uint8 [H, W] in studio range as in clips.

    Raises `OptionError` for a raw picture whose bytes do not fit its size and for an encoding that is none of ours,
    what `read_picture` raises for others, and `LimitExceeded` for one that is too large.
    """
    channels = _CHANNELS.get(picture.encoding)
    if channels is None and picture.encoding not in _COMPRESSED:
        known = ", ".join((*_COMPRESSED, *_CHANNELS))
        message = f"frame {picture.index}: its encoding is none of {known}"
        raise OptionError(message, option="encoding", stage=STAGE)
    if channels is None:
        frame = read_picture(picture.data, limits)
        return replace(frame, index=picture.index, time_s=time_s)
    limits.check_pixels(picture.width, picture.height)
    expected = picture.width * picture.height * channels
    if min(picture.width, picture.height) < 1 or len(picture.data) != expected:
        raise OptionError(
            f"frame {picture.index}: {picture.width} x {picture.height} px of {picture.encoding} are {expected} bytes,"
            f" not {len(picture.data)}",
            option="width",
            stage=STAGE,
        )
    pixels = np.frombuffer(picture.data, np.uint8)
    if channels == 1:
        gray = pixels.reshape(picture.height, picture.width)
        return Frame(picture.index, time_s, studio(gray), partial(_converted, gray, cv2.COLOR_GRAY2RGB))
    colour = pixels.reshape(picture.height, picture.width, 3)
    luma = studio(_converted(colour, cv2.COLOR_BGR2GRAY))
    return Frame(picture.index, time_s, luma, partial(_converted, colour, cv2.COLOR_BGR2RGB))


def _converted(pixels: UInt8Array, how: int) -> UInt8Array:
    return np.asarray(cv2.cvtColor(pixels, how), np.uint8)
