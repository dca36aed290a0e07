"""Arrays as frames."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from client.errors import FrameError
from client.live_types import Frame

Encode: TypeAlias = Literal["raw", "jpeg"]
_QUALITY = 90


def frame_of(
    picture: npt.NDArray[np.uint8], capture_us: int, *, encode: Encode = "raw", quality: int = _QUALITY
) -> Frame:
    """A picture, uint8 [H, W] of grey levels or [H, W, 3] of blue, green and red, as a frame.

    `raw` costs nothing to make and to read; `jpeg`, of a quality of 1 to 100, is about a tenth as large and needs
    OpenCV. Raises `FrameError`.
    """
    if picture.dtype != np.uint8 or picture.size == 0 or not (picture.ndim == 2 or picture.shape[2:] == (3,)):
        message = f"a picture is uint8 [H, W] or [H, W, 3], not {picture.dtype} {list(picture.shape)}"
        raise FrameError(message, code="invalid-input")
    height, width = picture.shape[:2]
    if encode == "raw":
        return Frame("gray8" if picture.ndim == 2 else "bgr8", picture.tobytes(), capture_us, width, height)
    import cv2

    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise FrameError(f"a picture of {width}x{height} cannot be made a JPEG", code="invalid-input")
    return Frame("jpeg", data.tobytes(), capture_us, width, height)
