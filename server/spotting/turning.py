"""What a head that turns leaves in each region: regions of a face stand out further or less far than common ones do.

`server.spotting.rigid` takes out of each region what a turn does to a common face. No face is one, so a share of each
turn is left in every region, always the same one for a small turn. It is fitted to the last seconds and taken out as
well. What is left then puts movements in doubt as noise does, the more the further the head turned about that time:
where skin curves away from the camera, as at the end of a brow, far more than beside the nose.
"""

from __future__ import annotations

import cv2
import numpy as np

from server.spotting.signal import REGIONS
from server.types import Float32Array, Float64Array

_WINDOW_S = 6.0
"""For so long the same share is left: light and the reference picture change. It is all that a live stream looks at."""
_SMALLEST_RAD = 0.07
"""A turn in the window that is smaller, four degrees, tells little of shares: sway and large expressions do as much."""
_SHARE = 0.5
"""IOD per radian that a region of one face differs from that of another by, one sigma."""
_NOISE_IOD = 0.004
"""Of what is fitted; what is smaller moves no face."""
_ALIKE_S = 0.3
"""Neighbouring samples err alike for so long: together they count as one."""
_WIDTHS_IOD = (0.1, 0.05, 0.02, 0.008)
"""What differs by more than this from the fit of the round before is rather a movement; the first round trusts all."""
_REACH_S = 0.4
"""A turn of so long before or after may still show: points that lost their skin take as long to find it again."""

_FEIGNED_RAD, _REAL_RAD = 0.01, 0.03
"""Up to the first, any movement of the face may look like a turn; few expressions feign as much as the second."""

_DOUBTS = {
    "brow_outer": 2.0,
    "brow_middle": 1.1,
    "brow_inner": 0.55,
    "cheek": 1.0,
    "nose_wing": 0.55,
    "mouth_corner": 0.9,
    "lip_upper": 0.6,
    "lip_lower": 0.9,
    "chin": 1.1,
    "lid": 0.0,
}
"""IOD per radian that may be left of a turn: well above what was left in development videos of turns in which the face
did nothing else, most where that was most. Lids are no movement by themselves, so nothing is in doubt.
"""
_DOUBT = np.array([next(v for k, v in _DOUBTS.items() if name.startswith(k)) for name in REGIONS], dtype=np.float32)


def without_turns(grid_s: Float64Array, displacement: Float32Array, turn: Float32Array) -> Float32Array:
    """Displacement without what a turn leaves in each region, float32 [G, R, 2], IOD.

    Robust regression (Geman and McClure 1987, by reweighting) on yaw and pitch beside a straight line, in windows of
    six seconds that overlap by half, each region by itself; a prior keeps shares that a turn hardly tells near nothing.

    Args:
        grid_s: regular times, float64 [G].
        displacement: float32 [G, R, 2], IOD.
        turn: how far the head has turned and nodded, float32 [G, 2], radians.
    """
    if np.ptp(turn[:, 0]) < _SMALLEST_RAD:
        return displacement
    step = float(grid_s[1] - grid_s[0])
    length = min(round(_WINDOW_S / step) + 1, len(grid_s))
    count = max(int(np.ceil((len(grid_s) - length) / (length / 2))), 0) + 1
    starts = np.linspace(0, len(grid_s) - length, count).astype(int).tolist()
    rise = np.arange(1, length + 1)
    left, weights = np.zeros(displacement.shape), np.zeros(len(grid_s))
    for start in starts:
        window = slice(start, start + length)
        # Where only one window sees a sample, whatever it weighs is all.
        weight = np.minimum(rise, rise[::-1])
        weights[window] += weight
        if np.ptp(turn[window, 0]) >= _SMALLEST_RAD:
            left[window] += weight[:, None, None] * _left_of(displacement[window], turn[window], step)
    return np.asarray(displacement - left / weights[:, None, None], dtype=np.float32)


def doubts(grid_s: Float64Array, turn: Float32Array) -> Float32Array:
    """By how much each region may be elsewhere because the head turns about then, float32 [G, R], IOD.

    `turn` float32 [G, 2]: how far it has turned and nodded at `grid_s` float64 [G], radians.
    """
    reach = max(round(_REACH_S / float(grid_s[1] - grid_s[0])), 1)
    about = np.ones((2 * reach + 1, 1), dtype=np.uint8)
    most = cv2.dilate(turn, about, borderType=cv2.BORDER_REPLICATE)
    least = cv2.erode(turn, about, borderType=cv2.BORDER_REPLICATE)
    swing = (most - least).max(axis=1)
    real = np.clip((swing - _FEIGNED_RAD) / (_REAL_RAD - _FEIGNED_RAD), 0, 1)
    return np.asarray((swing * real)[:, None] * _DOUBT, dtype=np.float32)


def _left_of(displacement: Float32Array, turn: Float32Array, step: float) -> Float64Array:
    """What the turns of one window leave in each region, float64 [G, R, 2]."""
    count, regions, _ = displacement.shape
    angles = turn.astype(np.float64) - np.median(turn, axis=0)
    columns = np.concatenate([angles, np.ones((count, 1)), np.linspace(-1, 1, count)[:, None]], axis=1)
    squares = (columns[:, :, None] * columns[:, None, :]).reshape(count, -1)
    prior = np.diag([(_NOISE_IOD / _SHARE) ** 2 * _ALIKE_S / step] * 2 + [0.0, 0.0])
    squared = np.zeros((count, regions))
    flat = displacement.reshape(count, -1).astype(np.float64)
    found = np.zeros((regions, 4, 2))
    for width in _WIDTHS_IOD:
        trust = (width * width / (width * width + squared)) ** 2
        normal = (trust.T @ squares).reshape(regions, 4, 4) + prior
        sums = (columns.T @ (flat * np.repeat(trust, 2, axis=1))).reshape(4, regions, 2)
        found = np.linalg.solve(normal, sums.transpose(1, 0, 2))
        rest = flat - columns @ found.transpose(1, 0, 2).reshape(4, -1)
        squared = (rest * rest).reshape(count, regions, 2).sum(axis=2)
    return np.asarray((angles @ found[:, :2].transpose(1, 0, 2).reshape(2, -1)).reshape(count, regions, 2))
