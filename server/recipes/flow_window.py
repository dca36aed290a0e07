"""The part of the crop that networks of the whole face see, and how finely the shallow flow networks do."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from server.types import Float32Array, FlowField

INPUT = "flow"
SIZE_PX = 28
DIMS: Mapping[str, tuple[int, ...]] = {INPUT: (3, SIZE_PX, SIZE_PX)}

# The published images show the square with the eyes at 0.2 and 0.8 of its width and a quarter of the way down.
ROWS = slice(48, 240)
COLUMNS = slice(32, 224)


def window_planes(flow: FlowField) -> Float32Array:
    """float32 [3, 28, 28]: u and v in px of the crop and strain in px/px, each area-averaged over the square."""
    return np.stack([_shrink(plane) for plane in square_planes(flow)])


def square_planes(flow: FlowField) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Over the square: u and v in px of the crop and strain in px/px, float32 [192, 192] each."""
    return flow.u[ROWS, COLUMNS], flow.v[ROWS, COLUMNS], flow.strain[ROWS, COLUMNS]


def _shrink(plane: Float32Array) -> Float32Array:
    return np.asarray(cv2.resize(plane, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA), dtype=np.float32)
