"""Scenes with known motion: the astronaut's head, cut out, before a background that does not move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from server.faces.align import apply, similarity
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.types import Float64Array, Frame, UInt8Array

HEAD_CENTRE = (224.0, 118.0)
HEAD_AXES = (66, 92)
PICTURE_IOD_PX = 42.6


@dataclass(frozen=True)
class Head:
    """A picture of a head and where its middle, size (IOD, px) and angle are in the frame."""

    picture: UInt8Array
    x: float
    y: float
    iod_px: float
    angle_rad: float = 0.0

    @property
    def truth(self) -> Float64Array:
        """Picture px -> frame px."""
        scale = self.iod_px / PICTURE_IOD_PX
        middle = apply(similarity(scale, self.angle_rad, (0, 0)), np.array([HEAD_CENTRE]))[0]
        return similarity(scale, self.angle_rad, (self.x - middle[0], self.y - middle[1]))


class Studio:
    """Renders frames; heads that come later in the list are in front."""

    def __init__(self) -> None:
        self.head: UInt8Array = np.asarray(astronaut(), np.uint8)
        self.other: UInt8Array = np.ascontiguousarray(self._mirrored())
        outline = np.zeros(self.head.shape[:2], np.float32)
        cv2.ellipse(outline, (int(HEAD_CENTRE[0]), int(HEAD_CENTRE[1])), HEAD_AXES, 0, 0, 360, 1.0, -1)
        self._outline = cv2.GaussianBlur(outline, (0, 0), 3)

    def _mirrored(self) -> UInt8Array:
        """Somebody else: the head mirrored about its own middle, with longer features and darker skin."""
        flip = np.array([[-1, 0, 2 * HEAD_CENTRE[0]], [0, 1.12, -0.12 * HEAD_CENTRE[1]]], np.float64)
        turned = cv2.warpAffine(self.head, flip, (512, 512), borderMode=cv2.BORDER_REFLECT)
        return np.clip(255 * (turned / 255.0) ** 1.6, 0, 255).astype(np.uint8)

    def background(self, width: int, height: int, seed: int = 0) -> UInt8Array:
        """A soft, textured wall."""
        rng = np.random.default_rng(seed)
        coarse = rng.uniform(60, 180, (height // 20 + 2, width // 20 + 2, 3)).astype(np.float32)
        return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)

    def shoot(
        self,
        heads: Sequence[Head],
        index: int = 0,
        time_s: float = 0.0,
        *,
        size: tuple[int, int] = (640, 480),
        noise: float = 1.5,
        gain: float = 1.0,
    ) -> Frame:
        """One frame of that size (width, height), with sensor noise in grey levels and a light `gain`."""
        rng = np.random.default_rng(1000 + index)
        picture = self.background(*size).astype(np.float32)
        for head in heads:
            smaller = head.iod_px < PICTURE_IOD_PX
            source = (
                cv2.GaussianBlur(head.picture, (0, 0), 0.4 * PICTURE_IOD_PX / head.iod_px) if smaller else head.picture
            )
            moved = cv2.warpAffine(source, head.truth, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
            mask = cv2.warpAffine(self._outline, head.truth, size)[..., None]
            picture = picture * (1 - mask) + moved * mask
        grain = rng.standard_normal(picture.shape[:2], np.float32)[..., None] * np.float32(noise)
        rgb = np.clip(np.round(picture * gain + grain), 0, 255).astype(np.uint8)
        luma = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        return Frame(index, time_s, luma, lambda: rgb)


@pytest.fixture(scope="session")
def studio() -> Studio:
    """The renderer."""
    return Studio()


@pytest.fixture(scope="session")
def detector() -> FaceDetector:
    """One detector for all tests."""
    return FaceDetector()


@pytest.fixture(scope="session")
def landmarker() -> FaceLandmarker:
    """One landmark network for all tests."""
    return FaceLandmarker()


@pytest.fixture(scope="session")
def make_head() -> type[Head]:
    """`Head`, which test modules cannot import from here."""
    return Head
