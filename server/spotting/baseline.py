"""The face at rest: how regional displacement is brought to a regular grid and freed of its slowly changing level."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from server.types import Float32Array, Float64Array

BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.intp]

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
_MOST_YAW = math.radians(4.0)
"""Turn to and fro within one movement, of whatever size, that makes it the head's."""
_TURN_SHARE = 0.7
"""A head that turns by an angle may leave this share of it, in IOD per radian, in regions that stand out further or
less far than those of a common face."""


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


def _turns_explain(yaw: float, pitch: float, displacement_iod: float) -> bool:
    """Whether a head that turned by `yaw` and nodded by `pitch`, radians, is why a region is elsewhere."""
    return yaw > _MOST_YAW or displacement_iod < _TURN_SHARE * max(yaw, pitch)


def at_rest(
    grid_s: Float64Array, displacement: Float32Array, turn: Float32Array, *, goes_on: bool = False
) -> tuple[Float32Array, BoolArray]:
    """The resting level under each sample, float32 [G, R, 2], and where a region is at rest, bool [G, R].

    Each region rests where it hardly moves for a quarter of a second. In between, its level is a straight line, so that
    a head that slowly turns or tilts makes no movement, or goes along where the region moves for good. A place where an
    expression is held for a while is not rest: from there the face comes back within four seconds. A clip that is cut
    to one expression begins at its onset, so a first sample without rest after it counts as the resting face. Where a
    stream `goes_on` after the last sample, a face that stays where it has just gone may yet come back, unless it is the
    head that went: `turn` float32 [G, 2] is how far it has turned and nodded, radians.
    """
    levels, resting = np.empty_like(displacement), np.zeros(displacement.shape[:2], dtype=np.bool_)
    slow = _quiet(grid_s, displacement)
    for region, start, stop in zip(*(each.tolist() for each in slow), strict=True):
        resting[start:stop, region] = True
    sums = _sums(displacement)
    ends = displacement[-1].tolist()
    kept = [
        _without_plateaus(segments, float(grid_s[-1]), (end[0], end[1]), goes_on=goes_on)
        for segments, end in zip(_segments(grid_s, sums, _sums(turn), slow), ends, strict=True)
    ]
    for region, (times, values) in enumerate(_knots(grid_s, sums, kept)):
        levels[:, region] = np.interp(grid_s, times, values.view(np.complex128)[:, 0]).view(np.float64).reshape(-1, 2)
        for before, after in pairwise(kept[region]):
            if _distance(before, after) > _SAME_LEVEL_IOD:
                gap = slice(before.stop, after.start)
                levels[gap, region] = _going(displacement[gap, region], before.last, after.first)
    return levels, resting


def runs(flags: BoolArray) -> tuple[IntArray, IntArray, IntArray]:
    """Every run of true samples in each column of bool [G, R]: its column, its start and its stop, int [runs] each, in
    order of column and time.
    """
    padded = np.zeros((flags.shape[1], len(flags) + 2), dtype=np.int8)
    padded[:, 1:-1] = flags.T
    change = np.diff(padded, axis=1)
    columns, starts = np.nonzero(change > 0)
    return columns, starts, np.nonzero(change < 0)[1]


def lengths(ways: Float32Array) -> Float32Array:
    """Of vectors float32 [..., 2]; `numpy.linalg.norm` takes several times as long over so short an axis."""
    return np.asarray(np.sqrt(ways[..., 0] * ways[..., 0] + ways[..., 1] * ways[..., 1]), dtype=np.float32)


def _sums(samples: Float32Array) -> Float64Array:
    """Of all samples before each, and of all."""
    return np.concatenate([np.zeros((1, *samples.shape[1:])), np.cumsum(samples, axis=0, dtype=np.float64)])


_Point: TypeAlias = tuple[float, float]


class _Rest(NamedTuple):
    """Samples `start` to `stop` of one region at rest, its mean place at both ends and how the head is turned."""

    start: int
    stop: int
    start_s: float
    stop_s: float
    first: _Point
    last: _Point
    turn: _Point


def _quiet(grid_s: Float64Array, displacement: Float32Array) -> tuple[IntArray, IntArray, IntArray]:
    """The `runs` in which each region is slow, those that are long enough to be rest."""
    step = float(grid_s[1] - grid_s[0])
    lag = max(round(_SPEED_S / 2 / step), 1)
    flat = displacement.reshape(len(displacement), -1)
    smooth = cv2.blur(flat, (1, lag + 1), borderType=cv2.BORDER_REPLICATE).reshape(displacement.shape)
    padded = np.pad(smooth, ((lag, lag), (0, 0), (0, 0)), mode="edge")
    index = np.arange(len(smooth))
    span = np.minimum(index + lag, len(smooth) - 1) - np.maximum(index - lag, 0)
    speed = lengths(padded[2 * lag :] - padded[: -2 * lag]) / (span * step)[:, None]
    # What the low-pass takes away is noise; what is left of it makes a speed that is none.
    noise = _MAD_TO_SIGMA * np.median(np.abs(displacement - smooth), axis=(0, 2)) / np.sqrt(lag + 1)
    limit = np.maximum(_REST_SPEED, _NOISE_SHARE * np.sqrt(2) * noise / _SPEED_S)
    regions, starts, stops = runs(speed < limit)
    lasting = (stops - starts) * step >= _REST_S
    return regions[lasting], starts[lasting], stops[lasting]


def _segments(
    grid_s: Float64Array, sums: Float64Array, turns: Float64Array, resting: tuple[IntArray, IntArray, IntArray]
) -> list[list[_Rest]]:
    """The rests of each region: its runs without their ends, in parts; and its first sample, if it is in none of them.

    `sums` float64 [G + 1, R, 2] and `turns` float64 [G + 1, 2] are those of all samples before.
    """
    step = float(grid_s[1] - grid_s[0])
    trim, end = round(_TRIM_S / step), max(round(_KNOT_S / 2 / step), 1)
    regions, starts, stops = resting
    starts = np.where(starts == 0, 0, starts + trim)
    stops = np.where(stops == len(grid_s), stops, stops - trim)
    lasting = stops > starts
    regions, starts, stops = regions[lasting], starts[lasting], stops[lasting]
    lacking = np.setdiff1d(np.arange(sums.shape[1]), regions[starts == 0])
    regions = np.concatenate([lacking, regions])
    starts, stops = np.concatenate([0 * lacking, starts]), np.concatenate([0 * lacking + 1, stops])
    order = np.lexsort((starts, regions))
    # What comes back slowly enough to pass for rest is back only at its end.
    regions, starts, stops = _parts(regions[order], starts[order], stops[order], _PART_S / step)
    first = _means(sums, regions, starts, np.minimum(starts + end, stops)).tolist()
    last = _means(sums, regions, np.maximum(stops - end, starts), stops).tolist()
    turned = ((turns[stops] - turns[starts]) / (stops - starts)[:, None]).tolist()
    found: list[list[_Rest]] = [[] for _ in range(sums.shape[1])]
    times = grid_s[starts].tolist(), grid_s[stops - 1].tolist()
    for region, *rest in zip(
        regions.tolist(), starts.tolist(), stops.tolist(), *times, first, last, turned, strict=True
    ):
        found[region].append(_Rest(*rest))
    return found


def _parts(regions: IntArray, starts: IntArray, stops: IntArray, length: float) -> tuple[IntArray, IntArray, IntArray]:
    """Each stretch in parts of about `length` samples: their regions, starts and stops."""
    sizes = stops - starts
    counts = np.clip(np.rint(sizes / length).astype(np.int64), 1, sizes)
    which = np.repeat(np.arange(len(sizes)), counts)
    part = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    begin, size, count = starts[which], sizes[which], counts[which]
    return regions[which], begin + size * part // count, begin + size * (part + 1) // count


def _means(sums: Float64Array, regions: IntArray, starts: IntArray, stops: IntArray) -> Float64Array:
    """Mean places float64 [N, 2] over samples `starts` to `stops` of `regions`."""
    return np.asarray((sums[stops, regions] - sums[starts, regions]) / (stops - starts)[:, None])


def _without_plateaus(segments: list[_Rest], end_s: float, end: _Point, *, goes_on: bool) -> list[_Rest]:
    """Those at which the face rests; `end` is where it is at last."""
    kept = [segments[0]]
    index = 1
    while index < len(segments):
        before = kept[-1]
        away = _distance(before, segments[index])
        if away > _SAME_LEVEL_IOD and not (goes_on and _is_turned(before, segments[index], away)):
            limit = max(_SAME_LEVEL_IOD, _RETURNED_SHARE * away)
            back = _return(segments, index, before, limit)
            if back is not None:
                index = back
            elif end_s - before.stop_s <= PLATEAU_S and (goes_on or math.dist(end, before.last) < _SAME_LEVEL_IOD):
                break
        kept.append(segments[index])
        index += 1
    return kept


def _is_turned(before: _Rest, after: _Rest, away: float) -> bool:
    """Whether a region is elsewhere because the head is: then it rests there."""
    yaw, pitch = (abs(one - other) for one, other in zip(after.turn, before.turn, strict=True))
    return _turns_explain(yaw, pitch, away)


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


def _knots(
    grid_s: Float64Array, sums: Float64Array, rests: list[list[_Rest]]
) -> Iterator[tuple[Float64Array, Float64Array]]:
    """Times and places that the resting level of each region passes through: every quarter of a second of each rest."""
    step = float(grid_s[1] - grid_s[0])
    spans = np.array([(region, rest.start, rest.stop) for region, found in enumerate(rests) for rest in found])
    regions, starts, stops = _parts(spans[:, 0], spans[:, 1], spans[:, 2], _KNOT_S / step)
    times, places = grid_s[0] + step * (starts + stops - 1) / 2, _means(sums, regions, starts, stops)
    bounds = np.searchsorted(regions, np.arange(len(rests) + 1)).tolist()
    for first, last in pairwise(bounds):
        yield times[first:last], places[first:last]
