"""Dense optical flow between two aligned crops: a fast estimator, an accurate one, and TV-L1 for fidelity.

Motion in a micro-expression is a fraction of a pixel to a few pixels, so all three work down to the finest scale.
`bench/flow.py` measures error, recovered share of the motion and cost; the defaults of the service cite it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from types import MappingProxyType

import cv2
import numpy as np

from server.contract import FlowMethod
from server.flow.tvl1 import tvl1
from server.types import Float32Array, UInt8Array

HIGH_PASS_SIGMA_PX = 20.0
"""Brightness changes are smoother than this at crop scale; the skin's texture is finer."""

_LK_WINDOW_SIGMA_PX = 4.0
_LK_STEPS = 4
_LK_LEVELS = 2
_LK_REGULARISER = 4.0
_DERIVATIVE = np.array([1.0, -8.0, 0.0, 8.0, -1.0], dtype=np.float32) / 12.0
_IDENTITY = np.array([1.0], dtype=np.float32)

Vectors = tuple[Float32Array, Float32Array]


def estimate(onset: Float32Array, apex: Float32Array, method: FlowMethod) -> Vectors:
    """Motion of each pixel of `onset` towards `apex`.

    Args:
        onset: float32 [H, W], 0..255.
        apex: float32 [H, W], 0..255, aligned with `onset`.
        method: `accurate` (dense inverse search, Kroeger et al. 2016, to full resolution), `fast` (dense
            Lucas-Kanade on high-passed pictures) or `tvl1` (Zach et al. 2007, what the published networks saw).

    Returns:
        u (right) and v (down), float32 [H, W], in px.

    Raises:
        ValueError: the two pictures differ in shape.
    """
    if onset.shape != apex.shape:
        raise ValueError(f"onset is {onset.shape} and apex is {apex.shape}: both must have one shape")
    return _METHODS[method](onset, apex)


def forget_pictures() -> None:
    """Let go of the last two, which the accurate estimator keeps among its buffers."""
    with _SEARCHING:
        _inverse_search.cache_clear()


def high_pass(picture: Float32Array) -> Float32Array:
    """`picture` without its smooth part, float32 [H, W] around 0: what is left does not follow the lighting."""
    return np.asarray(picture - _smooth(picture), dtype=np.float32)


def _smooth(picture: Float32Array) -> Float32Array:
    # A wide Gaussian is band-limited, so it is computed on a quarter of the grid at a sixteenth of the cost.
    height, width = picture.shape
    small = cv2.resize(picture, (max(width // 4, 1), max(height // 4, 1)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), HIGH_PASS_SIGMA_PX / 4.0)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _fast(onset: Float32Array, apex: Float32Array) -> Vectors:
    flow: Float32Array | None = None
    a, b = high_pass(onset), high_pass(apex)
    pyramid = [(a, b)]
    for _ in range(_LK_LEVELS - 1):
        a, b = (np.asarray(cv2.pyrDown(x), dtype=np.float32) for x in pyramid[-1])
        pyramid.append((a, b))
    for first, second in reversed(pyramid):
        height, width = first.shape
        if flow is None:
            flow = np.zeros((height, width, 2), dtype=np.float32)
        else:
            scale = width / flow.shape[1]
            flow = np.asarray(cv2.resize(flow, (width, height)) * scale, dtype=np.float32)
        flow = _gauss_newton(first, second, flow)
    assert flow is not None
    return flow[..., 0].copy(), flow[..., 1].copy()


def _gauss_newton(a: Float32Array, b: Float32Array, flow: Float32Array) -> Float32Array:
    """Refine `flow` by `_LK_STEPS` Lucas-Kanade steps in a Gaussian window around each pixel."""
    ax = cv2.sepFilter2D(a, cv2.CV_32F, _DERIVATIVE, _IDENTITY)
    ay = cv2.sepFilter2D(a, cv2.CV_32F, _IDENTITY, _DERIVATIVE)
    xx, xy, yy = (_window(p) for p in (ax * ax, ax * ay, ay * ay))
    xx = xx + _LK_REGULARISER
    yy = yy + _LK_REGULARISER
    inverse = 1.0 / (xx * yy - xy * xy)
    grid_x, grid_y = _grid(*a.shape)
    for _ in range(_LK_STEPS):
        moved = cv2.remap(
            b, grid_x + flow[..., 0], grid_y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        error = a - moved
        ex, ey = _window(ax * error), _window(ay * error)
        flow[..., 0] += (yy * ex - xy * ey) * inverse
        flow[..., 1] += (xx * ey - xy * ex) * inverse
    return flow


def _window(picture: Float32Array) -> Float32Array:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), _LK_WINDOW_SIGMA_PX), dtype=np.float32)


@lru_cache(maxsize=8)
def _grid(height: int, width: int) -> Vectors:
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x, y


def _accurate(onset: Float32Array, apex: Float32Array) -> Vectors:
    start = np.zeros((*onset.shape, 2), dtype=np.float32)
    with _SEARCHING:
        flow = np.asarray(_inverse_search().calc(_bytes(onset), _bytes(apex), start), dtype=np.float32)
    return flow[..., 0].copy(), flow[..., 1].copy()


@lru_cache(maxsize=1)
def _inverse_search() -> cv2.DISOpticalFlow:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # The presets stop at half or quarter resolution, where most of a sub-pixel motion is lost.
    search.setFinestScale(0)
    return search


def _bytes(picture: Float32Array) -> UInt8Array:
    return np.asarray(np.clip(np.rint(picture), 0, 255), dtype=np.uint8)


_SEARCHING = Lock()
"""The search keeps its buffers from one pair to the next, which costs a third less, and so serves one thread only."""

_METHODS: Mapping[FlowMethod, Callable[[Float32Array, Float32Array], Vectors]] = MappingProxyType(
    {"accurate": _accurate, "fast": _fast, "tvl1": tvl1}
)
