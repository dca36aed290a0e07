"""How far an action unit went: the flow of an onset-apex pair along the motion of that unit, as a share of a full one.

Directions follow the Facial Action Coding System (Ekman, Friesen and Hager, 2002); the full displacements, at FACS
intensity E, are those of a linear model of action units on this mesh where it agrees with FACS, and set by analogy
where it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from server.types import CROP_IOD_PX, Contraction, Float32Array, FlowField

_WINDOW_IOD = 0.06

MIRRORED: Mapping[int, int] = MappingProxyType(
    {
        55: 285, 107: 336, 52: 282, 105: 334, 46: 276, 70: 300, 159: 386, 145: 374, 33: 263, 64: 294, 48: 278,
        50: 280, 205: 425, 61: 291, 37: 267, 84: 314,
    }
)  # fmt: skip
"""Mesh points on the left of the picture, and their twins on the right. The others lie on the midline."""

# unit -> [(mesh point on the left or on the midline, outward, up)], in IOD
FULL_MOTION: Mapping[int, Sequence[tuple[int, float, float]]] = MappingProxyType(
    {
        1: [(55, 0.0, 0.08), (107, 0.0, 0.08), (52, 0.0, 0.05), (105, 0.0, 0.05), (46, 0.0, 0.01)],
        2: [(46, 0.01, 0.08), (70, 0.01, 0.08), (52, 0.0, 0.06), (105, 0.0, 0.06), (55, 0.0, 0.02)],
        4: [(55, -0.03, -0.07), (107, -0.03, -0.07), (52, -0.01, -0.05), (105, -0.01, -0.05), (46, 0.0, -0.02)],
        5: [(159, 0.0, 0.05)],
        6: [(50, 0.0, 0.05), (205, 0.0, 0.05), (145, 0.0, 0.02), (33, -0.01, 0.0)],
        7: [(145, 0.0, 0.025), (159, 0.0, -0.02)],
        9: [(64, 0.0, 0.05), (48, 0.0, 0.05), (55, -0.01, -0.04), (0, 0.0, 0.03)],
        10: [(37, 0.0, 0.06), (0, 0.0, 0.05), (64, 0.01, 0.02)],
        12: [(61, 0.08, 0.07), (205, 0.02, 0.03), (37, 0.02, 0.02), (84, 0.02, 0.02)],
        14: [(61, -0.03, 0.01), (205, -0.01, 0.0)],
        15: [(61, -0.01, -0.07), (17, 0.0, 0.01)],
        16: [(17, 0.0, -0.05), (84, 0.0, -0.05)],
        17: [(199, 0.0, 0.06), (17, 0.0, 0.07), (14, 0.0, 0.04), (61, 0.0, -0.01)],
        18: [(61, -0.06, 0.0), (0, 0.0, 0.01), (17, 0.0, -0.01)],
        20: [(61, 0.08, -0.02), (17, 0.0, -0.02)],
        23: [(61, -0.04, 0.0), (0, 0.0, -0.02), (17, 0.0, 0.02)],
        24: [(0, 0.0, -0.04), (13, 0.0, -0.04), (14, 0.0, 0.04), (17, 0.0, 0.04)],
        25: [(13, 0.0, 0.02), (14, 0.0, -0.04)],
        26: [(152, 0.0, -0.16), (17, 0.0, -0.19), (14, 0.0, -0.19), (61, -0.01, -0.07)],
        38: [(64, 0.03, 0.0)],
        45: [(159, 0.0, -0.13), (145, 0.0, 0.01)],
    }
)
"""Displacement of mesh points at full intensity of each unit."""


def contraction(flow: FlowField, landmarks: Float32Array) -> Contraction:
    """Share of the full motion of each unit of `FULL_MOTION`, on the image-left and the image-right side, 0..1.

    The flow at the points of a unit is projected onto their full displacement (least squares), so that motion in
    another direction counts for nothing. Units that move the same skin the same way cannot be told apart by this: it
    says how far, and a network says which. `landmarks` float32 [468, 2] in px of the crop that `flow` belongs to.
    """
    points = {p for rows in FULL_MOTION.values() for p, _, _ in rows}
    twins = {MIRRORED[p] for p in points if p in MIRRORED}
    moved = {p: _motion_at(flow, landmarks[p]) for p in points | twins}
    return {
        unit: (_share(rows, moved, left=True), _share(rows, moved, left=False)) for unit, rows in FULL_MOTION.items()
    }


def _share(rows: Sequence[tuple[int, float, float]], moved: Mapping[int, tuple[float, float]], *, left: bool) -> float:
    along = full = 0.0
    for point, outward, up in rows:
        right, down = moved[point if left else MIRRORED.get(point, point)]
        x, y = (-outward if left else outward), -up
        along += right * x + down * y
        full += x * x + y * y
    return float(np.clip(along / full, 0.0, 1.0))


def _motion_at(flow: FlowField, point: Float32Array) -> tuple[float, float]:
    """Mean motion in IOD in a small square around `point`; none where that lies outside the crop."""
    height, width = flow.u.shape
    half = _WINDOW_IOD * CROP_IOD_PX
    # A negative end would count from the other border.
    columns = slice(max(0, int(point[0] - half)), max(0, min(width, int(point[0] + half) + 1)))
    rows = slice(max(0, int(point[1] - half)), max(0, min(height, int(point[1] + half) + 1)))
    u, v = flow.u[rows, columns], flow.v[rows, columns]
    if u.size == 0:
        return 0.0, 0.0
    return float(u.mean()) / CROP_IOD_PX, float(v.mean()) / CROP_IOD_PX
