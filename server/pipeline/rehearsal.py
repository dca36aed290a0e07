"""What one frame of a live stream costs on this machine, found on a drawn face before the first stream comes.

The face is drawn from smooth blobs, since the service ships no person's picture; the detector and the landmark network
take it for a face, so that every stage of a stream works as it will. It moves by fractions of a pixel and comes as JPEG
of 640 x 480, the size and form that the specification of live streams counts in. Processor time is measured, not
time of day, so that a busy machine does not pass for a slow one.
"""

from __future__ import annotations

import time

import cv2
import numpy as np

from server.errors import FaceError
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.media.limits import MediaLimits
from server.pipeline.live_jobs import LiveOpen
from server.pipeline.live_session import LiveSession
from server.streams import FrameResult, LiveFrame, StreamOptions
from server.types import Float64Array, UInt8Array

_WIDTH_PX, _HEIGHT_PX = 640, 480
_WARM_UP, _COUNTED = 6, 30
_RATE = 60.0
_LIMITS = MediaLimits(60.0, 1000, _WIDTH_PX * _HEIGHT_PX)
# x, y, width, height and brightness of what is darker or brighter than skin, from the middle of the face, in px.
_BLOBS = (
    *((side * x, y, w, h, level) for side in (-1, 1) for x, y, w, h, level in (
        (40, -25, 16, 8, -60), (40, -25, 6, 6, -90), (42, -48, 20, 4, -90), (10, 30, 5, 4, -50), (55, 20, 20, 18, 15),
    )),
    (0, 5, 7, 22, 25), (0, 62, 26, 6, -70), (0, 75, 18, 6, 20), (0, 100, 30, 6, -20),
)  # fmt: skip


def frame_cost_s(detector: FaceDetector, landmarker: FaceLandmarker) -> float:
    """Seconds of processor time for one frame of a face that is followed, after the first few.

    Raises `FaceError` where the drawn face is not found, which would make the figure a lie.
    """
    opened = LiveOpen(StreamOptions(), _LIMITS, "flow_uvs_28", "accurate", max_faces=1, store_bytes=2**23)
    session = LiveSession(detector, landmarker, opened)
    pictures = [cv2.imencode(".jpg", drawn_face(step / 4))[1].tobytes() for step in range(4)]
    started = 0.0
    for index in range(_WARM_UP + _COUNTED):
        if index == _WARM_UP:
            started = time.process_time()
        frame = LiveFrame(index, round(index * 1e6 / _RATE), "jpeg", pictures[index % len(pictures)])
        answer = session.push(frame).answer
        if not (isinstance(answer, FrameResult) and answer.faces):
            raise FaceError("the drawn face is not found", stage="faces")
    return (time.process_time() - started) / _COUNTED


def drawn_face(shift_px: float) -> UInt8Array:
    """A face in the middle of a picture uint8 [480, 640], moved to the right by `shift_px`."""
    y, x = np.mgrid[0:_HEIGHT_PX, 0:_WIDTH_PX].astype(np.float64)
    x, y = x - _WIDTH_PX / 2 - shift_px, y - _HEIGHT_PX / 2
    skin = _inside((x / 95) ** 2 + (y / 125) ** 2)
    hair = _inside((x / 105) ** 2 + ((y + 70) / 80) ** 2) * (y < -75)
    picture = (90 * (1 - skin) + 190 * skin) * (1 - hair) + 40 * hair
    for left, top, width, height, level in _BLOBS:
        picture += level * np.exp(-((x - left) ** 2) / (2 * width**2) - (y - top) ** 2 / (2 * height**2))
    grain = np.random.default_rng(0).normal(0, 20, picture.shape).astype(np.float32)
    return np.asarray(np.clip(picture + cv2.GaussianBlur(grain, (0, 0), 1.5), 0, 255), np.uint8)


def _inside(radius: Float64Array) -> Float64Array:
    """1 inside the unit circle of `radius`, falling softly to 0."""
    return np.asarray(1 / (1 + np.exp(np.clip((radius - 1) * 12, -50, 50))), np.float64)
