"""Frames of a camera."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from client.errors import SourceError
from client.live_types import Frame
from client.pictures import Encode, frame_of


def camera(
    index: int = 0,
    *,
    rate: float | None = None,
    size: tuple[int, int] | None = None,
    encode: Encode = "jpeg",
    gray: bool = False,
) -> Iterator[Frame]:
    """The frames of camera `index` for as long as it gives any, with the times at which they arrived here.

    `rate` in frames per second and `size` (width, height) are asked of the camera, which may choose others; `gray`
    leaves the colours out. Needs OpenCV. Raises `SourceError` where there is no such camera or it stops.
    """
    import cv2

    device = cv2.VideoCapture(index)
    try:
        if not device.isOpened():
            raise SourceError(f"camera {index} cannot be opened", code="no-camera")
        if rate is not None:
            device.set(cv2.CAP_PROP_FPS, rate)
        for name, value in zip((cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), size or (), strict=False):
            device.set(name, value)
        while True:
            got, picture = device.read()
            captured_us = time.monotonic_ns() // 1000
            if not got:
                raise SourceError(f"camera {index} gives no more pictures", code="camera-stopped")
            shown = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if gray else picture
            yield frame_of(np.asarray(shown, np.uint8), captured_us, encode=encode)
    finally:
        device.release()
