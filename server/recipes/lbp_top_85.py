"""Recipe `lbp_top_85`: uniform LBP-TOP histograms of 85 regions of the face, from sixteen grey frames.

The input of transfer group sparse regression (Jiang et al., ICPR 2022, arXiv 2111.15361). Local binary patterns on
three orthogonal planes are by Zhao and Pietikainen, "Dynamic Texture Recognition Using Local Binary Patterns with an
Application to Facial Expressions", IEEE TPAMI 29(6), 2007: eight neighbours on a circle of radius 3 in the planes XY,
XT and YT say whether they are at least as bright as the centre; the 58 codes with at most two changes around the circle
have a bin each, all others share one.

The clip is the whole crop at 112x112. Codes are taken on the clip as a whole, where the circles of all three planes lie
within it, and counted in the cell of their centre; so cells on a border count fewer. Regions are grids of 1, 2, 4 and 8
cells a side, each from left to right and downwards.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from server.types import EventSample, Float32Array, UInt8Array

INPUT = "features"
FRAMES = 16
SIZE_PX = 112
GRIDS = (1, 2, 4, 8)
REGIONS = sum(side * side for side in GRIDS)
BINS = 59
PLANES = ((1, 2), (0, 2), (0, 1))
"""Axes of XY, XT and YT in a clip [T, Y, X]: the first is that of a neighbour's sine, the second of its cosine."""
DIMS: Mapping[str, tuple[int, ...]] = {INPUT: (REGIONS, len(PLANES) * BINS)}

RADIUS = 3
NEIGHBOURS = 8
TIE = 1e-3
"""Grey levels by which a neighbour may be darker and still count as equal: what interpolation errs by on flat skin."""


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`features` float32 [85, 177]: for each region the histograms of XY, XT and YT, each with sum 1."""
    clip = np.stack([cv2.resize(frame, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA) for frame in sample.course])
    planes = [_histograms(_codes(clip, axes)) for axes in PLANES]
    return {INPUT: np.concatenate(planes, axis=1)}


def uniform_bins() -> UInt8Array:
    """uint8 [256]: the bin of each code. Uniform codes ascend through 0..57, all others are in 58."""
    codes = np.arange(1 << NEIGHBOURS)
    turned = (codes >> 1) | ((codes & 1) << (NEIGHBOURS - 1))
    changes = np.array([int(code).bit_count() for code in codes ^ turned])
    uniform = changes <= 2
    return np.where(uniform, np.cumsum(uniform) - 1, BINS - 1).astype(np.uint8)


_BIN_OF_CODE = uniform_bins()


def _codes(clip: Float32Array, axes: tuple[int, int]) -> UInt8Array:
    """Bins uint8 [T - 6, Y - 6, X - 6] of the patterns of `clip` float32 [T, Y, X] in the plane of `axes`."""
    least = _shifted(clip, axes, (0, 0)) - TIE
    codes = np.zeros(least.shape, np.uint8)
    for neighbour in range(NEIGHBOURS):
        angle = 2 * np.pi * neighbour / NEIGHBOURS
        # Rows count downwards, so the sine is turned about.
        codes |= (_at(clip, axes, -RADIUS * np.sin(angle), RADIUS * np.cos(angle)) >= least).astype(
            np.uint8
        ) << neighbour
    return np.asarray(_BIN_OF_CODE[codes])


def _at(clip: Float32Array, axes: tuple[int, int], first: float, second: float) -> Float32Array:
    """What `clip` has at a place that lies between pixels, by bilinear interpolation, for every centre."""
    parts = [_between(offset) for offset in (first, second)]
    total: Float32Array | None = None
    for low, low_share in parts[0]:
        for high, high_share in parts[1]:
            share = np.float32(low_share * high_share)
            corner = _shifted(clip, axes, (low, high))
            part = corner if share == 1 else share * corner
            total = part if total is None else total + part
    assert total is not None
    return total


def _between(offset: float) -> list[tuple[int, float]]:
    """The whole numbers around `offset` and their shares, one where it is whole itself."""
    low = int(np.floor(offset + 1e-9))
    share = offset - low
    return [(low, 1.0)] if abs(share) < 1e-9 else [(low, 1.0 - share), (low + 1, share)]


def _shifted(clip: Float32Array, axes: tuple[int, int], offsets: tuple[int, int]) -> Float32Array:
    """`clip` seen from centres that keep the radius from every border, moved by `offsets` along `axes`."""
    moves = dict(zip(axes, offsets, strict=True))
    window = tuple(
        slice(RADIUS + moves.get(axis, 0), length - RADIUS + moves.get(axis, 0))
        for axis, length in enumerate(clip.shape)
    )
    return clip[window]


def _histograms(bins: UInt8Array) -> Float32Array:
    """Shares float32 [85, 59] of the bins uint8 [T, 106, 106] in each region."""
    finest = GRIDS[-1]
    cell = (np.arange(RADIUS, SIZE_PX - RADIUS) * finest) // SIZE_PX
    place = (cell[:, None] * finest + cell[None, :]) * BINS
    counts = np.bincount((place + bins).ravel(), minlength=finest * finest * BINS).reshape(finest, finest, BINS)
    regions = []
    for side in GRIDS:
        width = finest // side
        regions.append(counts.reshape(side, width, side, width, BINS).sum((1, 3)).reshape(-1, BINS))
    every = np.concatenate(regions)
    return np.asarray(every / every.sum(1, keepdims=True), dtype=np.float32)
