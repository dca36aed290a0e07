"""Regional motion of an aligned face: how far each brow, lid, cheek, mouth corner ... is from a reference picture.

Regions and their landmarks follow He (MEGC 2021/2024): squares around fixed points of the mesh, relative to the
bridge of the nose, which no expression moves. All displacements are against one reference crop, not summed from
frame to frame, so they do not drift; the reference is renewed only while the face is quiet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np

from server.contrast import even_light
from server.spotting.rigid import BONES, BRIDGE, PARAMETERS, RigidFit
from server.types import CROP_IOD_PX, Crop, Float32Array, Float64Array, UInt8Array

REGION_LANDMARKS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "brow_inner_left": (55, 107),
        "brow_inner_right": (285, 336),
        "brow_middle_left": (52, 105),
        "brow_middle_right": (282, 334),
        "brow_outer_left": (46, 70),
        "brow_outer_right": (276, 300),
        "cheek_left": (50, 205),
        "cheek_right": (280, 425),
        "nose_wing_left": (64,),
        "nose_wing_right": (294,),
        "mouth_corner_left": (61,),
        "mouth_corner_right": (291,),
        "lip_upper": (0, 11),
        "lip_lower": (16, 17),
        "chin": (199, 200),
        "lid_left": (159,),
        "lid_right": (386,),
    }
)
"""Sides as seen in the picture. Lips are followed on their red, not where they meet: teeth show there and stay."""

REGIONS = tuple(REGION_LANDMARKS)
LIDS = tuple(name.startswith("lid") for name in REGIONS)

_OFFSETS = 0.06 * CROP_IOD_PX * np.array([[0, 0], [-1, -1], [1, -1], [-1, 1], [1, 1]], dtype=np.float32)
_WINDOW_PX = 15
_PYRAMID_LEVELS = 1
_NEAR_S = 0.05
"""A face at rest so long ago is nearly where it was: its points are looked for in the full picture alone, at half the
cost. In one that has moved or turned they would lock onto what is beside them.
"""
_STRAYED_PX = 2.0
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 0.01)
_CELL_PX, _CELLS = 8, 5

_REFERENCE_AGE_S = 3.0
_QUIET_S = 1.0
_QUIET_IOD = 0.006
_QUIET_TURN = 0.02
_YAW = -2
_USUAL_S = 0.5
"""The head's usual place is that of so long ago: longer than a movement takes to rise."""
_JITTERING = 1
"""So many regions may be lost from sight, and jump about, in a face at rest."""


@dataclass(frozen=True, slots=True)
class MotionSignal:
    """Regional displacement over a clip, in the order of `REGIONS`.

    `frames` int64 [T] indices in the clip; `times_s` float64 [T], strictly increasing; `displacement` float32
    [T, R, 2], x and y in IOD, without what the head does; `unsteady` bool [T]: the face does not fit its alignment,
    has turned away from it or is burnt out, so motion is in doubt; `turn` float32 [T, 2]: how far the head has turned
    and nodded, radians.
    """

    frames: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    times_s: Float64Array
    displacement: Float32Array
    unsteady: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    turn: Float32Array

    def part(self, where: slice | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> MotionSignal:
        """The frames of `where` alone, a slice or bool [T]."""
        return MotionSignal(
            self.frames[where],
            self.times_s[where],
            self.displacement[where],
            self.unsteady[where],
            self.turn[where],
        )


class RegionTracker:
    """Feeds on the aligned crops of one face, in order, and gives each one's regional displacement.

    The signal is continuous across new anchors and new references: what had been measured by then is carried on.
    """

    def __init__(self) -> None:
        self._anchor_id: int | None = None
        self._points: Float32Array = np.zeros((0, 1, 2), dtype=np.float32)
        self._reference: UInt8Array | None = None
        self._reference_s = 0.0
        self._guess: Float32Array = self._points
        self._carried: Float32Array = np.zeros((len(REGIONS), 2), dtype=np.float32)
        self._last: Float32Array = self._carried
        self._quiet_since_s = 0.0
        self._quiet_at: tuple[Float32Array, Float32Array] = self._carried, np.zeros(2, dtype=np.float32)
        self._head = self._usual = np.zeros(PARAMETERS)
        self._last_s = 0.0
        self._carried_turn: Float32Array = np.zeros(2, dtype=np.float32)

    def quiet_s(self, time_s: float) -> float:
        """How long before `time_s` the face, but for its lids, and the head have been at rest."""
        return time_s - self._quiet_since_s

    @property
    def turned_rad(self) -> float:
        """How far the head has turned since the reference was taken: the further, the less its regions compare."""
        return abs(float(self._head[_YAW]))

    @property
    def turn(self) -> Float32Array:
        """How far the head has turned and nodded since the first crop, float32 [2], radians, to first order."""
        return np.asarray(self._carried_turn + self._head[-2:], dtype=np.float32)

    def update(self, crop: Crop, anchor_id: int, landmarks_crop: Float32Array) -> Float32Array:
        """Displacement of each region, float32 [R, 2] in IOD, since the first crop.

        Args:
            crop: the aligned face.
            anchor_id: changes when the alignment was taken anew.
            landmarks_crop: float32 [468, 2] in crop px, those of the anchor.
        """
        picture = _normalise(crop.gray)
        if anchor_id != self._anchor_id:
            self._anchor_id = anchor_id
            self._points = _points(landmarks_crop)
            self._refer(picture, crop.time_s)
            return self._last
        assert self._reference is not None
        rests = crop.time_s - self._last_s <= _NEAR_S and not _strayed(self._guess, self._points).any()
        levels = 0 if rests else _PYRAMID_LEVELS
        self._guess = _follow(self._reference, picture, self._points, self._guess, levels)
        shift = _grouped((self._guess - self._points)[:, 0, :])
        self._head = _RIGID.fit(shift, self._head, self._usual)
        self._usual = self._usual + (self._head - self._usual) * min((crop.time_s - self._last_s) / _USUAL_S, 1.0)
        self._last_s = crop.time_s
        self._last = self._carried + (shift - _RIGID.moved(self._head))[: len(REGIONS)]
        self._renew_when_quiet(picture, crop.time_s)
        return self._last

    def _refer(self, picture: UInt8Array, time_s: float) -> None:
        self._reference, self._reference_s = picture, time_s
        self._guess = self._points.copy()
        self._carried, self._carried_turn = self._last, self.turn
        self._head = self._usual = np.zeros(PARAMETERS)
        self._last_s = time_s
        self._quiet_since_s, self._quiet_at = time_s, (self._last, self.turn)

    def _renew_when_quiet(self, picture: UInt8Array, time_s: float) -> None:
        face, turn = self._quiet_at
        ways = np.sort(np.abs(self._last - face)[_STILL].max(axis=1))
        if ways[-1 - _JITTERING] > _QUIET_IOD or float(np.abs(self.turn - turn).max()) > _QUIET_TURN:
            self._quiet_since_s, self._quiet_at = time_s, (self._last, self.turn)
        elif time_s - self._quiet_since_s >= _QUIET_S and time_s - self._reference_s >= _REFERENCE_AGE_S:
            self._refer(picture, time_s)


def displacement_between(onset: Crop, apex: Crop, landmarks_crop: Float32Array) -> Float32Array:
    """How far each region is in `apex` from where it is in `onset`, relative to the bridge, float32 [R, 2] in IOD.

    Both crops are of one alignment; `landmarks_crop` float32 [468, 2] in crop px are those of the onset.
    """
    points = _points(landmarks_crop)
    places = _follow(_normalise(onset.gray), _normalise(apex.gray), points, points, _PYRAMID_LEVELS)
    shift = (places - points)[:, 0, :]
    bridge = np.median(shift[_BRIDGE], axis=0) / CROP_IOD_PX
    return np.asarray(_grouped(shift)[: len(REGIONS)] - bridge, dtype=np.float32)


def _follow(
    reference: UInt8Array, picture: UInt8Array, points: Float32Array, guess: Float32Array, levels: int
) -> Float32Array:
    """Where each of `points` of `reference` is in `picture`, float32 [P, 1, 2] in px; `guess` is where it was last.

    Points are looked for from where they were last, on `levels` smaller pictures first, where they may be far. One
    that strayed, as over a mouth that opens, may have locked onto other skin, so it is looked for from where it was in
    the reference as well: what matches better counts.
    """
    places, mismatch = _tracked(reference, picture, points, guess, levels)
    strayed = _strayed(places, points)
    if strayed.any():
        again, other = _tracked(reference, picture, points[strayed], points[strayed], _PYRAMID_LEVELS)
        better = (other < mismatch[strayed])[:, None, None]
        places[strayed] = np.where(better, again, places[strayed])
    return places


def _strayed(places: Float32Array, points: Float32Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of `places` float32 [P, 1, 2] are far from where they were in the reference, [P]."""
    away = (places - points)[:, 0, :]
    return np.asarray(away[:, 0] ** 2 + away[:, 1] ** 2 > _STRAYED_PX**2)


def _tracked(
    reference: UInt8Array, picture: UInt8Array, points: Float32Array, guess: Float32Array, levels: int
) -> tuple[Float32Array, Float32Array]:
    """Places of `points` float32 [P, 1, 2] in `picture`, looked for from `guess`, and how badly each matches, [P].

    A point that is lost counts as one that did not move.
    """
    moved, found, error = cv2.calcOpticalFlowPyrLK(
        reference,
        picture,
        points,
        guess.copy(),
        winSize=(_WINDOW_PX, _WINDOW_PX),
        maxLevel=levels,
        criteria=_STOP,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    seen = found[:, 0] > 0
    places = np.where(seen[:, None, None], moved, points).astype(np.float32)
    return places, np.where(seen, error[:, 0], np.inf).astype(np.float32)


def _normalise(gray: Float32Array) -> UInt8Array:
    return even_light(gray, cell_px=_CELL_PX, cells=_CELLS)


def _points(landmarks: Float32Array) -> Float32Array:
    """Five points around each landmark of each region, float32 [P, 1, 2]; those over bone come last."""
    indices = [index for landmark_group in (*REGION_LANDMARKS.values(), BONES) for index in landmark_group]
    points = landmarks[indices][:, None, :] + _OFFSETS[None]
    return np.asarray(points.reshape(-1, 1, 2), dtype=np.float32)


def _membership() -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    """Indices of the points of each region and of each landmark over bone, [G, most points of one]; repeating all of
    them alike keeps the median.
    """
    groups = [*REGION_LANDMARKS.values(), *((index,) for index in BONES)]
    most = max(len(x) for x in groups) * len(_OFFSETS)
    rows, start = [], 0
    for group in groups:
        own = np.arange(start, start + len(group) * len(_OFFSETS))
        rows.append(np.tile(own, most // len(own)))
        start += len(own)
    return np.stack(rows)


_MEMBERS = _membership()
_BRIDGE = slice(-len(BONES) * len(_OFFSETS), (len(BRIDGE) - len(BONES)) * len(_OFFSETS))
_RIGID = RigidFit(REGIONS)
_STILL = ~np.array(LIDS)


def _grouped(shift: Float32Array) -> Float32Array:
    """Median shift of the points (float32 [P, 2], px) of each region and landmark over bone, float32 [G, 2] in IOD."""
    # By hand: numpy's own median costs far more for so few numbers.
    middle = _MEMBERS.shape[1] // 2
    ordered = np.partition(shift.T[:, _MEMBERS], (middle - 1, middle), axis=-1)
    return np.asarray((ordered[..., middle - 1] + ordered[..., middle]).T / (2 * CROP_IOD_PX), dtype=np.float32)
