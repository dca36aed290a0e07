"""Motion from each picture of a course to the next one, for recipes that want time and not the one great movement.

Farneback's flow (SCIA 2003), which takes some ten milliseconds a step and pictures as they are: a step moves the skin
by a few hundredths of a pixel, which rounding to whole grey levels would drown.
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from server.types import Float32Array

_PYRAMID = 0.5
_LEVELS = 1
_WINDOW_PX = 31
_ITERATIONS = 3
_NEIGHBOURHOOD = 7
_SMOOTHING = 1.5
_BORDER_PX = 32
"""Mirrored around each picture, at whose edges the estimator would find motion where nothing moves."""
_GAIN = 16.0
"""Times grey levels: the estimator draws motion towards zero by a fixed term, on soft skin by a third without this."""


def steps(frames: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Motion u (right) and v (down), float32 [T - 1, H, W] in px, from each of the pictures `frames` float32 [T, H, W]
    to the next one; none where there are fewer than two.
    """
    moved = np.zeros((max(len(frames) - 1, 0), *frames.shape[1:], 2), np.float32)
    for number, (one, other) in enumerate(pairwise(_framed(picture) for picture in frames)):
        flow = np.zeros((*one.shape, 2), np.float32)
        cv2.calcOpticalFlowFarneback(
            one, other, flow, _PYRAMID, _LEVELS, _WINDOW_PX, _ITERATIONS, _NEIGHBOURHOOD, _SMOOTHING, 0
        )
        moved[number] = flow[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX]
    return moved[..., 0], moved[..., 1]


def _framed(picture: Float32Array) -> Float32Array:
    return np.pad(np.float32(_GAIN) * picture, _BORDER_PX, mode="reflect")
