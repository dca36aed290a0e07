"""Action units as smooth motion of a face, driven by landmarks: the geometry behind rendered clips.

Directions follow FACS, magnitudes are those at full intensity (FACS E) in inter-ocular distances. The table is
deliberately another one than the flow generator's, so that a network trained there is not tested on its own making.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np

from export.synthesis.action_units import BLINK
from server.flow.contraction import FULL_MOTION, MIRRORED
from server.types import Float32Array, Side

MIRROR: Mapping[int, int] = {**MIRRORED, 133: 362, 98: 327}
"""MediaPipe mesh indices on the left of the picture, and their twins on the right; the rest lie on the midline."""

BROW_SIGMA_IOD = 0.15
LID_SIGMA_IOD = 0.08

_NOT_RENDERED = (38, BLINK)
"""Nostrils are too small for a warp of this grid; lids that close are layers of their own."""
_MOTION = {au: rows for au, rows in FULL_MOTION.items() if au not in _NOT_RENDERED}
_LIDS = frozenset({159, 145, 386, 374})

ACTION_UNITS = tuple(sorted(_MOTION))


@dataclass(frozen=True, slots=True)
class FaceFrame:
    """A face's own coordinates: origin between the eyes, x along the eye line, unit one IOD."""

    centre: Float32Array
    axis: Float32Array
    iod_px: float

    @classmethod
    def of(cls, landmarks: Float32Array) -> FaceFrame:
        """From landmarks float32 [468, 2] in px."""
        left = landmarks[[33, 133]].mean(axis=0)
        right = landmarks[[263, 362]].mean(axis=0)
        span = right - left
        iod = float(np.hypot(*span))
        return cls(centre=(left + right) / 2, axis=span / iod, iod_px=iod)


def peak_displacement(intensities: Mapping[int, float]) -> float:
    """Largest landmark displacement, in IOD, that these action-unit intensities make."""
    total: dict[int, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    for au, intensity in intensities.items():
        for landmark, outward, up in _MOTION[au]:
            total[landmark] = total.get(landmark, np.zeros(2)) + intensity * np.array([outward, up])
    return max(float(np.hypot(*d)) for d in total.values())


def motion_field(
    au: int,
    side: Side,
    landmarks: Float32Array,
    grid: Float32Array,
    *,
    weak_side: float = 0.1,
    without: Container[int] = (),
) -> Float32Array:
    """Displacement of every grid point at intensity 1.

    Args:
        au: FACS number, one of `ACTION_UNITS`.
        side: as seen in the picture; the other side moves weakly.
        landmarks: float32 [468, 2] in px.
        grid: float32 [H, W, 2], x and y in px.
        weak_side: share of the motion that the other side makes.
        without: landmarks of the table that are left out, because something else moves them.

    Returns:
        float32 [H, W, 2] in px.

    Raises:
        KeyError: an action unit without a row in the table.
    """
    frame = FaceFrame.of(landmarks)
    normal = np.array([frame.axis[1], -frame.axis[0]], dtype=np.float32)  # up, in image coordinates
    weighted = np.zeros_like(grid)
    weights = np.zeros(grid.shape[:2], dtype=np.float32)
    uncovered = np.ones(grid.shape[:2], dtype=np.float32)
    for landmark, outward, up, gain in _both_sides(au, side, weak_side):
        if landmark in without:
            continue
        vector = gain * frame.iod_px * (outward * frame.axis + up * normal)
        sigma = (LID_SIGMA_IOD if landmark in _LIDS else BROW_SIGMA_IOD) * frame.iod_px
        weight = np.exp(-np.sum((grid - landmarks[landmark]) ** 2, axis=-1) / (2 * sigma**2))
        weighted += weight[..., None] * vector
        weights += weight
        uncovered *= 1 - weight
    # A weighted mean inside the covered area that fades with the cover: landmarks close together do not add up.
    return np.asarray(weighted / (weights + 1e-6)[..., None] * (1 - uncovered)[..., None], dtype=np.float32)


def _both_sides(au: int, side: Side, weak_side: float) -> list[tuple[int, float, float, float]]:
    left, right = (1.0 if side in (name, "both") else weak_side for name in ("left", "right"))
    rows: list[tuple[int, float, float, float]] = []
    for landmark, outward, up in _MOTION[au]:
        if landmark in MIRROR:
            rows += [(landmark, -outward, up, left), (MIRROR[landmark], outward, up, right)]
        else:
            rows.append((landmark, 0.0, up, (left + right) / 2))
    return rows
