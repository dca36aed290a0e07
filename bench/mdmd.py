"""MDMD, main directional maximal difference analysis: the published baseline that needs no training.

Wang, Wu, Qian, Li and Fu, "A main directional maximal difference analysis for spotting facial movements from long-term
videos", Neurocomputing 2017; baseline of MEGC 2020 (He, Wang, Yap and others, arXiv 1912.11985), whose values for 30
and for 200 frames a second are k of 0.4 s for micro- and 1.3 s for macro-expressions, lengths of 0.23 to 0.53 s and
above, and p = 0.01.

Deviations: directions are the four quadrants, where the public code's atan tells two apart; the flow is dense inverse
search (Kroeger and others 2016) instead of robust local optical flow; the face is the aligned crop of
`server.faces.track` in every frame, at 128 px, not a box of the first one, so that the baseline need not suffer from a
head that moves in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

from server.types import EventKind, Float32Array, Float64Array, UInt8Array

CHALLENGE_P = 0.01
CHOSEN_P = 0.06
"""The best of 0.01 to 0.99 on the development videos: `python -m bench.long_videos --seed 901 ... --scan`."""
CROP_PX = 128
_BLOCKS = 6
_SHARE = 3
"""Means are taken over the largest third."""
_HALF_S: dict[EventKind, float] = {"micro": 0.4, "macro": 1.3}
_KEPT_FRAMES: dict[EventKind, tuple[float, float]] = {"micro": (7, 16), "macro": (17, float("inf"))}
_KEPT_AT_FPS = 30.0
_DENSE = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


@dataclass(frozen=True, slots=True)
class Course:
    """What MDMD saw of a face in one length: `times_s` float64 [N], the `score` of each frame, float32 [N], nan at both
    ends, and `contrast` float32 [N], its relative difference.
    """

    kind: EventKind
    fps: float
    times_s: Float64Array
    score: Float32Array
    contrast: Float32Array


def half_length(kind: EventKind, fps: float, frames: int) -> int:
    """k: half of an expression in frames; halved until the video is long enough for it."""
    k = max(round(_HALF_S[kind] * fps), 2)
    while k > 2 and frames < 4 * k:
        k //= 2
    return k


def frame_score(before: UInt8Array, now: UInt8Array, after: UInt8Array) -> float:
    """F: how far the face has gone from `before` to `now`, and has come back from it by `after`; all uint8 [H, W]."""
    return directional_difference(_flow(before, now), _flow(before, after))


def directional_difference(to_now: Float32Array, to_after: Float32Array) -> float:
    """The mean of the largest third of the blocks' differences, in px, from both flows, float32 [H, W, 2]."""
    difference = np.hypot(to_now[..., 0], to_now[..., 1]) - np.hypot(to_after[..., 0], to_after[..., 1])
    direction = 2 * (to_now[..., 1] < 0) + (to_now[..., 0] < 0)
    rows, columns = (np.linspace(0, side, _BLOCKS + 1).astype(int) for side in difference.shape)
    blocks = []
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            own, way = (each[top:bottom, left:right].ravel() for each in (difference, direction))
            blocks.append(_upper_mean(own[way == np.bincount(way).argmax()]))
    return _upper_mean(np.array(blocks, np.float32))


def relative_difference(score: Float32Array, k: int) -> Float32Array:
    """c: each score float32 [N] against the mean of those k - 1 frames before and after; nan where one is missing."""
    contrast = np.full(len(score), np.nan, np.float32)
    inner = slice(k - 1, len(score) - k + 1)
    contrast[inner] = score[inner] - (score[: len(score) - 2 * k + 2] + score[2 * k - 2 :]) / 2
    return contrast


def course(crops: Sequence[UInt8Array], times_s: Float64Array, kind: EventKind) -> Course:
    """The scores of a face in view without a gap: crops uint8 [H, W] in order, and when they were taken, in seconds."""
    fps = 1 / float(np.median(np.diff(times_s)))
    k = half_length(kind, fps, len(crops))
    score = np.full(len(crops), np.nan, np.float32)
    for i in range(k, len(crops) - k):
        score[i] = frame_score(crops[i - k], crops[i], crops[i + k])
    return Course(kind, fps, times_s, score, relative_difference(score, k))


def intervals(seen: Course, p: float = CHALLENGE_P) -> list[dict[str, Any]]:
    """Runs of frames above the threshold that are as long as the kind is: onset_s, apex_s, offset_s and kind."""
    known = seen.contrast[np.isfinite(seen.contrast)]
    if not len(known):
        return []
    threshold = known.mean() + p * (known.max() - known.mean())
    above = np.concatenate([[False], seen.contrast > threshold, [False]])
    edges = np.flatnonzero(np.diff(above.astype(np.int8)))
    shortest, longest = (limit * seen.fps / _KEPT_AT_FPS for limit in _KEPT_FRAMES[seen.kind])
    found = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if round(shortest) <= stop - start <= longest + 0.5:
            apex = start + int(np.argmax(seen.score[start:stop]))
            times = (float(seen.times_s[i]) for i in (start, apex, stop - 1))
            found.append({**dict(zip(("onset_s", "apex_s", "offset_s"), times, strict=True)), "kind": seen.kind})
    return found


def _flow(one: UInt8Array, other: UInt8Array) -> Float32Array:
    return np.asarray(_DENSE.calc(one, other, None), np.float32)


def _upper_mean(values: Float32Array) -> float:
    count = max(len(values) // _SHARE, 1)
    return float(np.partition(values, len(values) - count)[-count:].mean())


def small(crop: Float32Array) -> UInt8Array:
    """The aligned crop, float32 [256, 256], as MDMD looks at it."""
    less = cv2.resize(crop, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(np.rint(less), 0, 255), np.uint8)
