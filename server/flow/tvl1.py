"""TV-L1 optical flow (Zach, Pock, Bischof, DAGM 2007; parameters after Sanchez Perez et al., IPOL 2013/26).

The published optical-flow networks were trained on this estimator; it is here for fidelity with their input.
"""

from __future__ import annotations

import cv2
import numpy as np

from server.types import Float32Array

_TIME_STEP = 0.25
_ATTACHMENT = 0.15
_TIGHTNESS = 0.3
_SCALES = 5
_SCALE_FACTOR = 0.5
_WARPS = 5
_MIN_SIDE_PX = 16
_MAX_STEPS = 50
_STOP = 0.01

Vectors = tuple[Float32Array, Float32Array]


def tvl1(onset: Float32Array, apex: Float32Array) -> Vectors:
    """Motion from `onset` to `apex` (float32 [H, W], 0..255): u, v float32 [H, W] in px.

    Total variation keeps motion edges sharp; the L1 data term forgives outliers.
    """
    low, high = float(min(onset.min(), apex.min())), float(max(onset.max(), apex.max()))
    gain = 255.0 / (high - low) if high > low else 1.0
    firsts, seconds = _pyramid((onset - low) * gain), _pyramid((apex - low) * gain)
    u: Float32Array = np.zeros(firsts[-1].shape, dtype=np.float32)
    v: Float32Array = u.copy()
    for first, second in zip(reversed(firsts), reversed(seconds), strict=True):
        height, width = first.shape
        if u.shape != first.shape:
            scale_x, scale_y = width / u.shape[1], height / u.shape[0]
            u = np.asarray(cv2.resize(u, (width, height)) * scale_x, dtype=np.float32)
            v = np.asarray(cv2.resize(v, (width, height)) * scale_y, dtype=np.float32)
        u, v = _solve(first, second, u, v)
    return u, v


def _pyramid(picture: Float32Array) -> list[Float32Array]:
    levels = [np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.8), dtype=np.float32)]
    while len(levels) < _SCALES and min(levels[-1].shape) * _SCALE_FACTOR >= _MIN_SIDE_PX:
        levels.append(_halve(levels[-1]))
    return levels


def _halve(picture: Float32Array) -> Float32Array:
    height, width = picture.shape
    smooth = cv2.GaussianBlur(picture, (0, 0), 0.6 * np.sqrt(_SCALE_FACTOR**-2 - 1.0))
    size = (round(width * _SCALE_FACTOR), round(height * _SCALE_FACTOR))
    return np.asarray(cv2.resize(smooth, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _solve(a: Float32Array, b: Float32Array, u: Float32Array, v: Float32Array) -> Vectors:
    """One scale: linearise around the current flow `_WARPS` times and minimise by alternating projections."""
    height, width = a.shape
    grid_x, grid_y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    bx = 0.5 * cv2.filter2D(b, cv2.CV_32F, np.array([[-1.0, 0.0, 1.0]]), borderType=cv2.BORDER_REPLICATE)
    by = 0.5 * cv2.filter2D(b, cv2.CV_32F, np.array([[-1.0], [0.0], [1.0]]), borderType=cv2.BORDER_REPLICATE)
    dual = np.zeros((4, height, width), dtype=np.float32)
    reach = _ATTACHMENT * _TIGHTNESS
    step = _TIME_STEP / _TIGHTNESS
    for _ in range(_WARPS):
        at = (grid_x + u, grid_y + v)
        warped, gx, gy = (cv2.remap(p, *at, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE) for p in (b, bx, by))
        norm = gx * gx + gy * gy
        constant = warped - gx * u - gy * v - a
        for _ in range(_MAX_STEPS):
            residual = constant + gx * u + gy * v
            # The thresholding step in closed form: -residual / norm, clipped to what the attachment allows.
            shift = np.clip(-residual / np.maximum(norm, 1e-9), -reach, reach)
            before_u, before_v = u, v
            u = u + shift * gx + _TIGHTNESS * _divergence(dual[0], dual[1])
            v = v + shift * gy + _TIGHTNESS * _divergence(dual[2], dual[3])
            _project(dual[0:2], u, step)
            _project(dual[2:4], v, step)
            change = float(np.mean((u - before_u) ** 2 + (v - before_v) ** 2))
            if change < _STOP * _STOP:
                break
    return u, v


def _divergence(x: Float32Array, y: Float32Array) -> Float32Array:
    out = x.copy()
    out[:, 1:] -= x[:, :-1]
    out += y
    out[1:] -= y[:-1]
    return out


def _project(dual: Float32Array, field: Float32Array, step: float) -> None:
    gx = np.zeros_like(field)
    gy = np.zeros_like(field)
    gx[:, :-1] = field[:, 1:] - field[:, :-1]
    gy[:-1] = field[1:] - field[:-1]
    shrink = 1.0 / (1.0 + step * np.sqrt(gx * gx + gy * gy))
    dual[0] = (dual[0] + step * gx) * shrink
    dual[1] = (dual[1] + step * gy) * shrink
