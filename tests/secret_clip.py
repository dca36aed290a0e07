"""A clip that is unlike any other, and what of it must be found nowhere."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import av
import cv2
import numpy as np

from server.faces.align import warp
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.faces.track import FaceTracker
from server.media.decode import open_clip
from server.media.limits import MediaLimits
from tests.residue import Search, needles

FILE_NAME = "ms-example-2041-05-17.mp4"
FIELD_NAME = "words-that-nobody-logs"
LIMITS = MediaLimits(60, 10_000, 4096 * 2304)
_SAMPLE = Path(__file__).parents[1] / "samples" / "positive.mp4"
_RATE = 100
_BAND_PX = 16


@dataclass(frozen=True)
class SecretClip:
    """The face of a sample in noise of its own: `data` as MJPEG in MOV, and its `pictures` one by one as JPEG."""

    data: bytes
    pictures: Sequence[bytes]

    @cached_property
    def decoded(self) -> list[np.ndarray]:
        """Luma of every tenth frame, as the service decodes it."""
        return [frame.luma for frame in open_clip(self.data, LIMITS) if frame.index % 10 == 0]

    @cached_property
    def face(self) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks in the first frame, float32 [468, 2], and the aligned face, float32 [H, W]."""
        frame = next(iter(open_clip(self.data, LIMITS)))
        tracker = FaceTracker(FaceDetector(), FaceLandmarker(), max_faces=1, thorough=False)
        [tracked] = tracker.update(frame)
        return tracked.landmarks_crop, warp(frame.luma, tracked.transform)


def secret_clip(seed: int, frames: int = 24) -> SecretClip:
    """The same for the same seed; two of different seeds share no run of bytes but headers."""
    rng = np.random.default_rng(seed)
    out, pictures = io.BytesIO(), []
    with av.open(str(_SAMPLE)) as source, av.open(out, "w", format="mov") as target:
        stream = target.add_stream("mjpeg", rate=_RATE)
        stream.pix_fmt = "yuvj420p"
        for index, frame in zip(range(frames), source.decode(video=0), strict=False):
            picture = _noisy(frame.to_ndarray(format="bgr24"), rng)
            if index == 0:
                stream.height, stream.width = picture.shape[:2]
            pictures.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
            packet = av.Packet(pictures[-1])
            packet.pts = packet.dts = index
            packet.duration, packet.time_base, packet.stream = 1, Fraction(1, _RATE), stream
            target.mux(packet)
    return SecretClip(out.getvalue(), pictures)


def _noisy(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grain = rng.normal(0, 6, picture.shape)
    band = rng.integers(0, 256, (_BAND_PX, picture.shape[1], 3))
    return np.vstack([np.clip(picture + grain, 0, 255), band]).astype(np.uint8)


@dataclass(frozen=True)
class Secrets:
    """What is looked for: the bytes of uploads, pixels as decoded and as aligned, and landmarks."""

    uploaded: Search
    pixels: Search
    landmarks: Search

    @classmethod
    def of(cls, clips: Sequence[SecretClip], other: SecretClip) -> Secrets:
        """Those of `clips`; what `other` has as well, such as headers, is none."""
        return cls(
            Search(needles(b"".join(_encoded(clip) for clip in clips)), needles(_encoded(other))),
            Search(needles(b"".join(_pixels(clip) for clip in clips)), needles(_pixels(other))),
            Search(needles(b"".join(clip.face[0].tobytes() for clip in clips)), needles(other.face[0].tobytes())),
        )

    @cached_property
    def pictures(self) -> Search:
        """Pictures, encoded or not."""
        return self.uploaded | self.pixels

    @cached_property
    def any(self) -> Search:
        """All of them."""
        return self.pictures | self.landmarks


def _encoded(clip: SecretClip) -> bytes:
    return clip.data + b"".join(clip.pictures)


def _pixels(clip: SecretClip) -> bytes:
    return b"".join(plane.tobytes() for plane in clip.decoded) + clip.face[1].tobytes()
