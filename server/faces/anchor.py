"""One look at a face in full (landmarks, template, points), and how far the face has moved from it since.

Every frame is compared with the anchor itself, not with the frame before it, so that errors do not add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from server.contrast import even_light
from server.faces.align import apply, compose, crop_transform, fit_similarity, invert, sample, scale_of
from server.types import CROP_IOD_PX, CROP_SIZE_PX, Face, Float32Array, Float64Array, UInt8Array

NOSE = (168, 6, 197, 195, 5, 4, 1, 122, 351, 196, 419, 3, 248, 236, 456, 174, 399, 193, 417, 188, 412, 245, 465)
EYE_CORNERS = (33, 133, 263, 362)
SIDES = (127, 356, 162, 389, 139, 368, 34, 264, 143, 372, 156, 383, 234, 454, 227, 447, 116, 345, 93, 323)
"""Mesh points over bone, which expressions hardly move: nose bridge and dorsum, eye corners, temples, cheekbones."""

# Textured points come from between these mesh points: both temples with the side of the face, and the nose.
_REGIONS = ((21, 162, 127, 234, 116, 143, 156), (251, 389, 356, 454, 345, 372, 383), (193, 122, 236, 4, 456, 351, 417))

TEMPLATE_PX = 128
_SCALE = TEMPLATE_PX / CROP_SIZE_PX
_POINTS = 68
_WINDOW_PX = 13
_LEVELS = 2
_MARGIN_PX = 4
_CELL_PX, _CELLS = 4, 7
_FAR_PX = 2.0
_MAX_STEP_SCALE = 1.5
_AGREE = 3.0
_AGREE_PX = 0.75
_TO_TEMPLATE = np.array([[_SCALE, 0, (_SCALE - 1) / 2], [0, _SCALE, (_SCALE - 1) / 2]])
_FROM_TEMPLATE = invert(_TO_TEMPLATE)
_FACE_CORNERS = np.array([[32.0, 48.0], [224.0, 48.0], [32.0, 240.0], [224.0, 240.0]])
_UPPER_FACE = slice(28, 90)
_LOST_AGREEING, _LOST_CORRELATION = 0.4, 0.45
MIN_POINTS = 12


@dataclass(frozen=True, slots=True)
class Anchor:
    """The face of one frame: its frame -> crop `transform`, `landmarks_crop` float32 [468, 2] in crop px, and what
    later frames are compared with: `template` uint8 [128, 128], `points` float32 [N, 2] in template px and their
    `weights` float64 [N].
    """

    transform: Float64Array
    landmarks_crop: Float32Array
    template: UInt8Array
    points: Float32Array
    weights: Float64Array


@dataclass(frozen=True, slots=True)
class Fit:
    """Where the anchor's face is in another frame: frame -> crop `transform`, median distance of the points to it,
    share of points that agree, and correlation of the two pictures of the face, -1..1.
    """

    transform: Float64Array
    residual_iod: float
    agreeing: float
    correlation: float


def make_anchor(luma: UInt8Array, face: Face) -> Anchor:
    """The anchor of `face` in its own frame `luma` uint8 [H, W]."""
    transform = crop_transform(face.landmarks)
    landmarks = apply(transform, face.landmarks).astype(np.float32)
    template = normalised(luma, transform)
    points, weights = _stable_points(template, apply(_TO_TEMPLATE, landmarks).astype(np.float32))
    return Anchor(transform, landmarks, template, points, weights)


def normalised(luma: UInt8Array, transform: Float64Array) -> UInt8Array:
    """The crop at half size with light taken out: local mean 128, local contrast equal; uint8 [128, 128]."""
    crop = sample(luma, compose(_TO_TEMPLATE, transform), TEMPLATE_PX)
    return even_light(crop, cell_px=_CELL_PX, cells=_CELLS)


def locate(anchor: Anchor, luma: UInt8Array, guess: Float64Array, *, rounds: int = 2) -> Fit | None:
    """Find the anchor's face in `luma` near the frame -> crop transform `guess`; None when too few points follow.

    Pyramidal Lucas-Kanade (Bouguet 2000) from the anchor's template to the frame warped by the guess, then a robust
    similarity. Where the guess was off by more than 2 px of the crop, the frame is warped again by the better one,
    `rounds` times in all.
    """
    fit = _follow(anchor, luma, guess)
    for _ in range(rounds - 1):
        if fit is None or shift_between(guess, fit.transform) <= _FAR_PX:
            break
        guess = fit.transform
        fit = _follow(anchor, luma, guess)
    return fit


def shift_between(one: Float64Array, other: Float64Array) -> float:
    """How far two frame -> crop transforms of one frame differ inside the face: largest shift of a corner, px."""
    return float(np.abs(apply(compose(other, invert(one)), _FACE_CORNERS) - _FACE_CORNERS).max())


def is_lost(fit: Fit) -> bool:
    """Whether what was found is something else than the anchor's face: too few points or too little likeness."""
    return fit.agreeing < _LOST_AGREEING or fit.correlation < _LOST_CORRELATION


def correlation(one: UInt8Array, other: UInt8Array) -> float:
    """Correlation of two normalised crops from the brows to the nose tip, -1..1: mouth and jaw move too much."""
    first, second = (picture[_UPPER_FACE].ravel().astype(np.float32) - np.float32(128) for picture in (one, other))
    return float(first @ second / np.sqrt((first @ first) * (second @ second) + 1e-9))


def _follow(anchor: Anchor, luma: UInt8Array, guess: Float64Array) -> Fit | None:
    current = normalised(luma, guess)
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        anchor.template,
        current,
        anchor.points,
        anchor.points.copy(),
        winSize=(_WINDOW_PX, _WINDOW_PX),
        maxLevel=_LEVELS,
        criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 15, 0.02),
    )
    found = status.ravel() == 1
    if np.count_nonzero(found) < MIN_POINTS:
        return None
    here, there = moved[found], anchor.points[found]
    step, residual = fit_similarity(here, there, anchor.weights[found])
    if not 1 / _MAX_STEP_SCALE < scale_of(step) < _MAX_STEP_SCALE:
        return None
    distances = np.linalg.norm(apply(step, here) - there, axis=1)
    agreeing = np.count_nonzero(distances < max(_AGREE * residual, _AGREE_PX)) / len(found)
    transform = compose(_FROM_TEMPLATE, compose(step, compose(_TO_TEMPLATE, guess)))
    return Fit(transform, residual / (_SCALE * CROP_IOD_PX), agreeing, correlation(anchor.template, current))


def _stable_points(template: UInt8Array, mesh: Float32Array) -> tuple[Float32Array, Float64Array]:
    """Points that Lucas-Kanade can follow, and how well: the smaller eigenvalue of the structure tensor around each."""
    points = mesh[list(NOSE + EYE_CORNERS + SIDES)]
    region = np.zeros_like(template)
    for outline in _REGIONS:
        cv2.fillPoly(region, [np.round(mesh[list(outline)]).astype(np.int32)], 255)
    textured = cv2.goodFeaturesToTrack(template, _POINTS - len(points), 0.01, 4, mask=region, blockSize=7)
    if textured is not None:
        points = np.concatenate([points, textured.reshape(-1, 2)])
    inside = np.all((points >= _MARGIN_PX) & (points < TEMPLATE_PX - _MARGIN_PX), axis=1)
    points = np.ascontiguousarray(points[inside], np.float32)
    strength = cv2.cornerMinEigenVal(template, _WINDOW_PX, ksize=3)
    columns, rows = np.round(points).astype(int).T
    weights = strength[rows, columns].astype(np.float64)
    return points, weights / max(float(np.median(weights)), 1e-12)
