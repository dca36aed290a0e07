"""The face at rest: how regional displacement is brought to a regular grid and freed of its slowly changing level."""

from __future__ import annotations

import cv2
import numpy as np

from server.types import Float32Array, Float64Array

SMOOTHING_S = 0.02
"""Sigma of the zero-phase low-pass: the rise of a micro-expression takes 0.07 s or more, sensor noise does not."""
MAX_RATE_HZ = 240.0
WINDOW_S = 8.0
"""Twice the longest macro-expression that is reported, so that a running median stays on the face at rest."""
_KNOT_S = 0.5
_REST_S = 0.2
_REST_SPEED = 0.03
_SAME_LEVEL_IOD = 0.012


def regular(times_s: Float64Array, displacement: Float32Array) -> tuple[Float64Array, Float32Array]:
    """Smoothed samples on a regular grid, whatever the frame rate did.

    Args:
        times_s: float64 [T], strictly increasing, T >= 2.
        displacement: float32 [T, R, 2], IOD.

    Returns:
        Grid times float64 [G] (first and last as given) and displacement float32 [G, R, 2].
    """
    gap = max(float(np.median(np.diff(times_s))), 1.0 / MAX_RATE_HZ)
    count = max(round((times_s[-1] - times_s[0]) / gap) + 1, 2)
    grid = np.linspace(times_s[0], times_s[-1], count)
    flat = displacement.reshape(len(times_s), -1)
    index = np.clip(np.searchsorted(times_s, grid, side="right") - 1, 0, len(times_s) - 2)
    share = ((grid - times_s[index]) / (times_s[index + 1] - times_s[index]))[:, None].astype(np.float32)
    even = flat[index] * (1 - share) + flat[index + 1] * share
    sigma = SMOOTHING_S / (grid[1] - grid[0])
    half = max(int(np.ceil(3 * sigma)), 1)
    smooth = cv2.GaussianBlur(even, (1, 2 * half + 1), sigmaX=1.0, sigmaY=float(sigma), borderType=cv2.BORDER_REPLICATE)
    return grid, np.asarray(smooth, dtype=np.float32).reshape(count, *displacement.shape[1:])


def at_rest(grid_s: Float64Array, displacement: Float32Array) -> Float32Array:
    """The resting level under each sample, float32 [G, R, 2].

    Long clips: a running median of 8 s. Shorter ones do not hold enough rest for a median, so the level before the
    first movement counts, and a slow drift towards the level after the last one; a clip that is cut to one expression
    begins at its onset, so there its first sample is the resting face.
    """
    if grid_s[-1] - grid_s[0] >= WINDOW_S:
        return _running_median(grid_s, displacement)
    step = grid_s[1] - grid_s[0]
    speed = np.abs(np.diff(displacement, axis=0)).max(axis=(1, 2)) / step
    quiet = speed < _REST_SPEED
    first = displacement[: max(_leading(quiet, step), 1)].mean(axis=0)
    tail = _leading(quiet[::-1], step)
    last = displacement[len(displacement) - max(tail, 1) :].mean(axis=0)
    if tail == 0 or np.abs(last - first).max() > _SAME_LEVEL_IOD:
        last = first
    share = np.linspace(0.0, 1.0, len(grid_s), dtype=np.float32)[:, None, None]
    return np.asarray(first * (1 - share) + last * share, dtype=np.float32)


def _leading(quiet: np.ndarray[tuple[int], np.dtype[np.bool_]], step: float) -> int:
    """Length of the quiet stretch at the beginning, 0 where it is too short to be rest."""
    length = int(np.argmin(quiet)) if not quiet.all() else len(quiet)
    return length if length * step >= _REST_S else 0


def _running_median(grid_s: Float64Array, displacement: Float32Array) -> Float32Array:
    duration = float(grid_s[-1] - grid_s[0])
    knots = np.arange(0.0, duration + _KNOT_S, _KNOT_S)
    step = float(grid_s[1] - grid_s[0])
    width = round(WINDOW_S / step)
    medians = []
    for knot in knots:
        start = int(np.clip(round((knot - WINDOW_S / 2) / step), 0, len(grid_s) - width))
        medians.append(np.median(displacement[start : start + width], axis=0))
    levels = np.stack(medians).reshape(len(knots), -1)
    out = np.stack([np.interp(grid_s - grid_s[0], knots, level) for level in levels.T], axis=1)
    return np.asarray(out, dtype=np.float32).reshape(displacement.shape)
