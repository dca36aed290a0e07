"""A face of which only the points exist that matter here, mirrored about the middle of the crop."""

from __future__ import annotations

import numpy as np

from server.types import Float32Array

_LEFT = {
    46: (31, 74), 70: (25, 68), 52: (56, 62), 105: (52, 53), 55: (103, 72), 107: (100, 57), 69: (70, 32), 104: (45, 37),
    33: (45, 94), 159: (66, 84), 133: (96, 98), 145: (71, 101), 50: (35, 145), 101: (63, 135), 117: (33, 120),
    61: (68, 194), 205: (49, 161), 207: (39, 177), 64: (88, 163), 37: (108, 191), 84: (109, 232), 48: (86, 158),
}  # fmt: skip
_RIGHT = {
    46: 276, 70: 300, 52: 282, 105: 334, 55: 285, 107: 336, 69: 299, 104: 333, 33: 263, 159: 386, 133: 362, 145: 374,
    50: 280, 101: 330, 117: 346, 61: 291, 205: 425, 207: 427, 64: 294, 37: 267, 84: 314, 48: 278,
}  # fmt: skip
_MIDDLE = {
    4: 159, 0: 193, 11: 197, 13: 199, 14: 214, 16: 226, 17: 234, 199: 250, 200: 245, 152: 255,
}  # fmt: skip


def landmarks() -> Float32Array:
    """float32 [468, 2] in px of the crop."""
    points = np.full((468, 2), 128, np.float32)
    for point, (x, y) in _LEFT.items():
        points[point] = x, y
        points[_RIGHT[point]] = 255 - x, y
    for point, y in _MIDDLE.items():
        points[point] = 127.5, y
    return points
