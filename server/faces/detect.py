"""Finds faces in one picture: MediaPipe's short-range detector, and the same over tiles for small faces."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from server.faces.networks import DETECTOR, Network, sigmoid
from server.types import Float32Array, UInt8Array

INPUT_PX = 128
MIN_SCORE = 0.5
SURE_SCORE = 0.75
_SUPPRESS_IOU = 0.3
_KEYPOINTS = 6
_FINEST_TILE_PX = 256
_TILES_ACROSS = 8
_TILE_STRIDE = 0.6
_BATCH = 16
_EDGE_PX = 2.0


@dataclass(frozen=True, slots=True)
class Detection:
    """A face candidate. `box` x0, y0, x1, y1 in px; `keypoints` float32 [6, 2] in px; `score` 0..1.

    Keypoints, sides as in the picture: left eye, right eye, nose tip, mouth centre, left ear, right ear.
    """

    box: tuple[float, float, float, float]
    keypoints: Float32Array
    score: float


@dataclass(frozen=True, slots=True)
class _Tile:
    """A square window of the picture: its corner and side in px."""

    x: float
    y: float
    side: float


class FaceDetector:
    """Short-range BlazeFace (Bazarevsky et al. 2019) with MediaPipe's anchors, threshold and weighted suppression."""

    def __init__(self, threads: int = 1) -> None:
        self._network = Network(DETECTOR, ("boxes", "logits"), threads)
        self._anchors = _anchors()

    def detect(self, rgb: UInt8Array, *, thorough: bool = False, coarse: bool = False) -> list[Detection]:
        """Faces in `rgb` uint8 [H, W, 3], best first.

        The network sees faces of about a fifth of its window and more. When the whole picture shows none for sure,
        smaller and smaller overlapping windows are looked at until one does; `thorough` looks at all sizes in any
        case, `coarse` at nothing smaller than windows of the picture's short side. A score below 0.75 is often no face:
        let the landmark network judge.
        """
        found = self._scan(rgb, [_whole(rgb)])
        for side in _tile_sides(rgb)[: 1 if coarse else None]:
            if not thorough and any(detection.score >= SURE_SCORE for detection in found):
                break
            found = _suppress_across(found + self._scan(rgb, _tiles(rgb, side)))
        return sorted(found, key=lambda detection: -detection.score)

    def _scan(self, rgb: UInt8Array, tiles: list[_Tile]) -> list[Detection]:
        """Detections in equally large windows."""
        scale = INPUT_PX / tiles[0].side
        size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = np.asarray(cv2.resize(rgb, size, interpolation=method), np.uint8)
        found: list[Detection] = []
        for first in range(0, len(tiles), _BATCH):
            part = tiles[first : first + _BATCH]
            batch = np.stack([_window(small, tile, scale) for tile in part])
            boxes, logits = self._network.run(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
            scores = sigmoid(logits[..., 0])
            for tile, box, score in zip(part, boxes, scores, strict=True):
                found += self._decode(box, score, tile, rgb)
        return _suppress_across(found)

    def _decode(self, boxes: Float32Array, scores: Float32Array, tile: _Tile, rgb: UInt8Array) -> list[Detection]:
        keep = scores >= MIN_SCORE
        if not keep.any():
            return []
        values, anchors = boxes[keep] / INPUT_PX, self._anchors[keep]
        centre, half = values[:, :2] + anchors, values[:, 2:4] / 2
        points = values[:, 4:].reshape(-1, _KEYPOINTS, 2) + anchors[:, None]
        unit = np.concatenate([(centre - half)[:, None], (centre + half)[:, None], points], axis=1)
        placed = unit * tile.side + (tile.x - 0.5, tile.y - 0.5)
        merged = _suppress_weighted(placed.astype(np.float32), scores[keep])
        return [detection for detection in merged if not _cut_by_tile(detection, tile, rgb)]


def _anchors() -> Float32Array:
    """Centres of the 896 anchors in units of the window: two per cell of a 16 x 16 grid, six per cell of 8 x 8."""
    grids = []
    for cells, per_cell in ((16, 2), (8, 6)):
        ticks = (np.arange(cells) + 0.5) / cells
        centres = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
        grids.append(np.repeat(centres, per_cell, axis=0))
    return np.concatenate(grids).astype(np.float32)


def _whole(rgb: UInt8Array) -> _Tile:
    height, width = rgb.shape[:2]
    side = max(height, width)
    return _Tile((width - side) / 2, (height - side) / 2, side)


def _tile_sides(rgb: UInt8Array) -> list[float]:
    """Window sides from the picture's short side down; the finest bounds the number of windows in large pictures."""
    height, width = rgb.shape[:2]
    finest = max(_FINEST_TILE_PX, max(height, width) / _TILES_ACROSS)
    halvings = round(math.log2(max(min(height, width) / finest, 1)))
    return [min(height, width) / 2**halving for halving in range(halvings + 1)]


def _tiles(rgb: UInt8Array, side: float) -> list[_Tile]:
    height, width = rgb.shape[:2]
    columns, rows = (
        np.linspace(0, max(length - side, 0), max(1, int(np.ceil((length - side) / (side * _TILE_STRIDE))) + 1))
        for length in (width, height)
    )
    return [_Tile(float(x), float(y), side) for y in rows for x in columns]


def _window(small: UInt8Array, tile: _Tile, scale: float) -> Float32Array:
    """One network input float32 [128, 128, 3] in -1..1, black where the window leaves the picture."""
    window = np.zeros((INPUT_PX, INPUT_PX, 3), np.float32)
    x, y = round(tile.x * scale), round(tile.y * scale)
    part = small[max(y, 0) : max(y + INPUT_PX, 0), max(x, 0) : max(x + INPUT_PX, 0)]
    top, left = max(-y, 0), max(-x, 0)
    window[top : top + part.shape[0], left : left + part.shape[1]] = part
    return np.asarray(window / 127.5 - 1, np.float32)


def _cut_by_tile(detection: Detection, tile: _Tile, rgb: UInt8Array) -> bool:
    """Whether the window's border, where it is not the picture's, runs through the face: a better window exists."""
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = detection.box
    right, bottom = tile.x + tile.side, tile.y + tile.side
    return (
        (tile.x > 0 and x0 < tile.x + _EDGE_PX)
        or (tile.y > 0 and y0 < tile.y + _EDGE_PX)
        or (right < width and x1 > right - _EDGE_PX)
        or (bottom < height and y1 > bottom - _EDGE_PX)
    )


def _suppress_weighted(placed: Float32Array, scores: Float32Array) -> list[Detection]:
    """Overlapping candidates become their score-weighted mean; `placed` [N, 8, 2] is two corners and six points."""
    order = np.argsort(-scores, kind="stable")
    merged = []
    while len(order):
        best = order[0]
        near = _overlap(placed[best], placed[order]) > _SUPPRESS_IOU
        near[0] = True
        group = order[near]
        mean = np.average(placed[group], axis=0, weights=scores[group]).astype(np.float32)
        box = (float(mean[0, 0]), float(mean[0, 1]), float(mean[1, 0]), float(mean[1, 1]))
        merged.append(Detection(box, mean[2:], float(scores[best])))
        order = order[~near]
    return merged


def _suppress_across(found: list[Detection]) -> list[Detection]:
    """Of detections of one face in several windows, the best one: windows differ in scale, a mean would blur."""
    kept: list[Detection] = []
    for detection in sorted(found, key=lambda candidate: -candidate.score):
        corners = np.array(detection.box, np.float32).reshape(1, 2, 2)
        if all(_overlap(np.array(k.box, np.float32).reshape(2, 2), corners)[0] <= _SUPPRESS_IOU for k in kept):
            kept.append(detection)
    return kept


def _overlap(one: Float32Array, many: Float32Array) -> Float32Array:
    """Intersection over union of boxes given as corners in their first two points."""
    low, high = np.maximum(one[0], many[:, 0]), np.minimum(one[1], many[:, 1])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(many[:, 1] - many[:, 0], axis=1) + np.prod(one[1] - one[0])
    return np.asarray(shared / np.maximum(areas - shared, 1e-9), np.float32)
