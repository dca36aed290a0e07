"""What the head does to all regions of a face alike, told from what the face does itself.

An alignment of two pictures errs by a shift, a turn in the picture or a change of scale; a head that turns or nods
moves what stands out further than what lies back (weak perspective, first order). These six numbers are fitted to the
displacement of all regions and of what lies over bone; a robust fit (Geman and McClure 1987, by reweighting) leaves
out the regions that an expression moves, as long as most are not moved by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from server.types import Float32Array, Float64Array

BRIDGE = (168, 6, 197, 195)
"""Landmarks along the bridge of the nose, which no expression moves."""
BONES = (*BRIDGE, 133, 362, 33, 263, 116, 345)
"""And with them the corners of the eyes and the cheekbones, which expressions hardly move."""

_PLACES: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "brow_inner": (0.226, -0.390, 0.088),
        "brow_middle": (0.649, -0.454, 0.195),
        "brow_outer": (0.875, -0.338, 0.405),
        "cheek": (0.737, 0.380, 0.370),
        "nose_wing": (0.327, 0.467, 0.130),
        "mouth_corner": (0.522, 0.733, 0.539),
        "lip_upper": (0.0, 0.752, 0.156),
        "lip_lower": (0.0, 1.058, 0.267),
        "chin": (0.0, 1.345, 0.396),
        "lid": (0.537, -0.223, 0.316),
    }
)
"""Regions of a frontal face in IOD from the middle of the bridge: the landmark network's own 3-D answer, made
symmetric. x to the right of the picture (of the right side), y down, z away from the camera.
"""
_BONE_PLACES = (
    (0.0, -0.183, 0.097),
    (0.0, -0.055, 0.040),
    (0.0, 0.064, -0.030),
    (0.0, 0.174, -0.106),
    (-0.274, -0.092, 0.370),
    (0.274, -0.092, 0.370),
    (-0.726, -0.134, 0.454),
    (0.726, -0.134, 0.454),
    (-0.991, 0.104, 0.676),
    (0.991, 0.104, 0.676),
)
_BONE_WEIGHT = 4.0
"""What lies over bone counts for as many regions that expressions move."""

_WIDE_IOD, _NARROW_IOD = 0.05, 0.006
_NARROWING = 0.6
_ROUNDS = 2
_SAME_IOD = 0.002
"""Starts that are nearer to each other than this lead to the same answer."""
_RIDGE = 1e-3
PARAMETERS = 6


class RigidFit:
    """Fits the head's motion to displacement of `regions` and of `BONES`, in this order."""

    def __init__(self, regions: tuple[str, ...]) -> None:
        places = np.array([*(_place(name) for name in regions), *_BONE_PLACES])
        x, y, z = places.T
        one, none = np.ones(len(places)), np.zeros(len(places))
        # Columns: shift x, shift y, scale, turn in the picture, yaw, pitch.
        across = np.stack([one, none, x, -y, z, none], axis=1)
        down = np.stack([none, one, y, x, none, z], axis=1)
        self._rows = np.concatenate([across, down])
        squares = across[:, :, None] * across[:, None, :] + down[:, :, None] * down[:, None, :]
        self._squares = squares.reshape(len(places), -1)
        self._trust = np.where(np.arange(len(places)) < len(regions), 1.0, _BONE_WEIGHT)
        self._ridge = _RIDGE * np.eye(PARAMETERS)

    def fit(self, shift: Float32Array, *starts: Float64Array) -> Float64Array:
        """The head's motion, float64 [6]: shift x and y, scale and turn, IOD per IOD, yaw and pitch, radians.

        Args:
            shift: displacement float32 [G, 2] in IOD, of the regions and of the bones.
            starts: answers that it may be near to. What a brow does slowly, from frame to frame, would else be taken
                for the head's bit by bit: a fit stays near where it began.
        """
        flat = shift.T.ravel().astype(np.float64)
        first, *others = starts
        apart = [other for other in others if float(np.abs(self._rows @ (other - first)).max()) > _SAME_IOD]
        found = [self._descent(flat, start) for start in (first, *apart)]
        return min(found, key=lambda each: self._cost(flat, each)) if apart else found[0]

    def _descent(self, flat: Float64Array, found: Float64Array) -> Float64Array:
        rest = np.abs(flat - self._rows @ found)
        width = max(_NARROW_IOD, min(_WIDE_IOD, float(np.partition(rest, len(rest) // 2)[len(rest) // 2]) * 3))
        rounds = _ROUNDS
        while rounds:
            found = self._round(flat, found, width)
            rounds -= width <= _NARROW_IOD
            width = max(width * _NARROWING, _NARROW_IOD)
        return found

    def _cost(self, flat: Float64Array, found: Float64Array) -> float:
        squared = self._squared(flat, found)
        return float(self._trust @ (squared / (_NARROW_IOD * _NARROW_IOD + squared)))

    def _squared(self, flat: Float64Array, found: Float64Array) -> Float64Array:
        rest = flat - self._rows @ found
        half = len(rest) // 2
        return np.asarray(rest[:half] ** 2 + rest[half:] ** 2)

    def _round(self, flat: Float64Array, found: Float64Array, width: float) -> Float64Array:
        squared = self._squared(flat, found)
        weights = self._trust * (width * width / (width * width + squared)) ** 2
        normal = (weights @ self._squares).reshape(PARAMETERS, PARAMETERS) + self._ridge
        return np.asarray(np.linalg.solve(normal, (np.concatenate([weights, weights]) * flat) @ self._rows))

    def moved(self, motion: Float64Array) -> Float32Array:
        """What `motion` float64 [6] does to regions and bones, float32 [G, 2] in IOD."""
        return np.asarray((self._rows @ motion).reshape(2, -1).T, dtype=np.float32)


def _place(region: str) -> tuple[float, float, float]:
    name, _, side = region.rpartition("_")
    if name not in _PLACES:
        return _PLACES[region]
    x, y, z = _PLACES[name]
    return (-x if side == "left" else x), y, z
