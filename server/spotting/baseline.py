"""The face at rest: how regional displacement is brought to a regular grid and freed of its slowly changing level."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from server.types import Float32Array, Float64Array

BoolArray: TypeAlias = npt.NDArray[np.bool_]

SMOOTHING_S = 0.02
"""Sigma of the zero-phase low-pass: the rise of a micro-expression takes 0.07 s or more, sensor noise does not."""
MAX_RATE_HZ = 240.0
PLATEAU_S = 4.0
"""An expression is held for less than this: a face that stays elsewhere for longer is at rest there."""
_REST_S = 0.25
_REST_SPEED = 0.05
"""Eye distances per second. A micro-expression of 0.014 rises at 0.09 or more; a head that turns slowly makes less."""
_SPEED_S = 0.2
_NOISE_SHARE = 3.0
_TRIM_S = 0.04
_KNOT_S = 0.25
_PART_S = 0.5
_SAME_LEVEL_IOD = 0.012
_RETURNED_SHARE = 0.5
_MAD_TO_SIGMA = 1.4826


def regular(
    times_s: Float64Array, displacement: Float32Array, max_rate_hz: float = MAX_RATE_HZ
) -> tuple[Float64Array, Float32Array]:
    """Smoothed samples on a regular grid, whatever the frame rate did.

    Args:
        times_s: float64 [T], strictly increasing, T >= 2.
        displacement: float32 [T, R, 2], IOD.
        max_rate_hz: most samples per second.

    Returns:
        Grid times float64 [G] (first and last as given) and displacement float32 [G, R, 2].
    """
    gap = max(float(np.median(np.diff(times_s))), 1.0 / max_rate_hz)
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


def at_rest(
    grid_s: Float64Array, displacement: Float32Array, *, goes_on: bool = False
) -> tuple[Float32Array, BoolArray]:
    """The resting level under each sample, float32 [G, R, 2], and where a region is at rest, bool [G, R].

    Each region rests where it hardly moves for a quarter of a second. In between, its level is a straight line, so that
    a head that slowly turns or tilts makes no movement, or goes along where the region moves for good. A place where an
    expression is held for a while is not rest: from there the face comes back within four seconds. A clip that is cut
    to one expression begins at its onset, so a first sample without rest after it counts as the resting face. Where a
    stream `goes_on` after the last sample, a face that stays where it has just gone may yet come back.
    """
    levels = np.empty_like(displacement)
    resting = _quiet(grid_s, displacement)
    for region in range(displacement.shape[1]):
        place = _Place(displacement[:, region])
        segments = _segments(grid_s, place, resting[:, region])
        segments = _without_plateaus(segments, float(grid_s[-1]), place.end, goes_on=goes_on)
        times, values = _knots(grid_s, place, segments)
        for axis in range(2):
            levels[:, region, axis] = np.interp(grid_s, times, values[:, axis])
        for before, after in pairwise(segments):
            if _distance(before, after) > _SAME_LEVEL_IOD:
                gap = slice(before.stop, after.start)
                levels[gap, region] = _going(displacement[gap, region], before.last, after.first)
    return levels, resting


_Point: TypeAlias = tuple[float, float]


class _Place:
    """Where one region is, float32 [G, 2]; its means over stretches are looked up, since there are hundreds."""

    def __init__(self, place: Float32Array) -> None:
        sums = np.concatenate([np.zeros((1, 2)), np.cumsum(place, axis=0, dtype=np.float64)])
        self._x, self._y = sums.T.tolist()

    @property
    def end(self) -> _Point:
        """The last sample."""
        return self.mean(len(self._x) - 2, len(self._x) - 1)

    def mean(self, start: int, stop: int) -> _Point:
        """Over the samples from `start` up to `stop`."""
        count = stop - start
        return (self._x[stop] - self._x[start]) / count, (self._y[stop] - self._y[start]) / count


@dataclass(frozen=True, slots=True)
class _Rest:
    """Samples `start` to `stop` of one region at rest, and its mean place at both ends."""

    start: int
    stop: int
    start_s: float
    stop_s: float
    first: _Point
    last: _Point


def _quiet(grid_s: Float64Array, displacement: Float32Array) -> BoolArray:
    """Where each region is slow, for long enough to be rest."""
    step = float(grid_s[1] - grid_s[0])
    lag = max(round(_SPEED_S / 2 / step), 1)
    flat = displacement.reshape(len(displacement), -1)
    smooth = cv2.blur(flat, (1, lag + 1), borderType=cv2.BORDER_REPLICATE).reshape(displacement.shape)
    padded = np.pad(smooth, ((lag, lag), (0, 0), (0, 0)), mode="edge")
    index = np.arange(len(smooth))
    span = np.minimum(index + lag, len(smooth) - 1) - np.maximum(index - lag, 0)
    speed = np.linalg.norm(padded[2 * lag :] - padded[: -2 * lag], axis=-1) / (span * step)[:, None]
    # What the low-pass takes away is noise; what is left of it makes a speed that is none.
    noise = _MAD_TO_SIGMA * np.median(np.abs(displacement - smooth), axis=(0, 2)) / np.sqrt(lag + 1)
    limit = np.maximum(_REST_SPEED, _NOISE_SHARE * np.sqrt(2) * noise / _SPEED_S)
    quiet = speed < limit
    for region in range(quiet.shape[1]):
        for start, stop in _runs(quiet[:, region]):
            if (stop - start) * step < _REST_S:
                quiet[start:stop, region] = False
    return np.asarray(quiet)


def _runs(flags: BoolArray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.view(np.int8), [0]))))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _segments(grid_s: Float64Array, place: _Place, resting: BoolArray) -> list[_Rest]:
    step = float(grid_s[1] - grid_s[0])
    trim, end = round(_TRIM_S / step), max(round(_KNOT_S / 2 / step), 1)
    found = []
    for start, stop in _runs(resting):
        low = start if start == 0 else start + trim
        high = stop if stop == len(resting) else stop - trim
        if high - low < 1:
            continue
        # What comes back slowly enough to pass for rest is back only at its end.
        for begin, until in pairwise(_parts(low, high, max(round((high - low) * step / _PART_S), 1))):
            first, last = place.mean(begin, min(begin + end, until)), place.mean(max(until - end, begin), until)
            found.append(_Rest(begin, until, float(grid_s[begin]), float(grid_s[until - 1]), first, last))
    if not found or found[0].start > 0:
        first_s, first = float(grid_s[0]), place.mean(0, 1)
        found.insert(0, _Rest(0, 1, first_s, first_s, first, first))
    return found


def _without_plateaus(segments: list[_Rest], end_s: float, end: _Point, *, goes_on: bool) -> list[_Rest]:
    """Those at which the face rests; `end` is where it is at last."""
    kept = [segments[0]]
    index = 1
    while index < len(segments):
        before = kept[-1]
        away = _distance(before, segments[index])
        if away > _SAME_LEVEL_IOD:
            limit = max(_SAME_LEVEL_IOD, _RETURNED_SHARE * away)
            back = _return(segments, index, before, limit)
            if back is not None:
                index = back
            elif end_s - before.stop_s <= PLATEAU_S and (goes_on or math.dist(end, before.last) < _SAME_LEVEL_IOD):
                break
        kept.append(segments[index])
        index += 1
    return kept


def _return(segments: list[_Rest], index: int, before: _Rest, limit: float) -> int | None:
    """Which rest after `index` is near `before` again, soon enough for what lies between to be an expression."""
    for later in range(index + 1, len(segments)):
        if segments[later].start_s - before.stop_s > PLATEAU_S:
            return None
        if _distance(before, segments[later]) < limit:
            return later
    return None


def _going(place: Float32Array, start: _Point, end: _Point) -> Float32Array:
    """The level on the way from one rest to another: as far as the region has come and does not go back again."""
    origin = np.array(start, dtype=np.float32)
    way = np.array(end, dtype=np.float32) - origin
    share = np.clip((place - origin) @ way / float(way @ way), 0, 1)
    lasting = np.minimum.accumulate(share[::-1])[::-1]
    return np.asarray(origin + lasting[:, None] * way, dtype=np.float32)


def _distance(before: _Rest, after: _Rest) -> float:
    return math.dist(after.first, before.last)


def _knots(grid_s: Float64Array, place: _Place, segments: list[_Rest]) -> tuple[Float64Array, Float64Array]:
    """Times and places that the resting level passes through: every quarter of a second of each rest."""
    step = float(grid_s[1] - grid_s[0])
    spans = [
        span
        for rest in segments
        for span in pairwise(_parts(rest.start, rest.stop, max(round((rest.stop - rest.start) * step / _KNOT_S), 1)))
    ]
    middles = np.array([(start + stop - 1) / 2 for start, stop in spans])
    return grid_s[0] + step * middles, np.array([place.mean(*span) for span in spans])


def _parts(start: int, stop: int, count: int) -> list[int]:
    """Where each of `count` parts of nearly one length begins, and the end."""
    return [start + (stop - start) * part // count for part in range(count + 1)]
