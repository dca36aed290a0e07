"""What moves a face and is no expression: lids that close, a cut of the film, a point that errs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from server.spotting.signal import LIDS, REGIONS, MotionSignal
from server.spotting.speech import COUPLED
from server.types import Float32Array, Float64Array

_UNSURE = ("brow_outer", "cheek", "chin", "lip_lower")
_SUPPORT_SHARE = 0.5
_STEP_SHARE = 0.7
_STAYS_SHARE = 0.8
BLINK_IOD = 0.03
"""How far a lid goes down at least when an eye closes."""
_BLINK_SHARE = 0.35
_BLINK_TIME_SHARE = 0.25
_UNSTEADY_SHARE = 0.5

Cause: TypeAlias = Literal["", "blink", "cut", "head-turn"]


@dataclass(frozen=True, slots=True)
class Scene:
    """One stretch of a face: regular times float64 [G]; distance of each region from rest, float32 [G, R], as it is
    (`ways`) and as far as no turn of the head puts it in doubt (`size`), and from which on it moves, float32 [R], in
    IOD; how far each lid is below its rest, float32 [G, lids], IOD; and the signal that all this is of.
    """

    grid_s: Float64Array
    ways: Float32Array
    size: Float32Array
    thresholds: Float32Array
    lowered: Float32Array
    signal: MotionSignal

    def cause_of(
        self, window: slice, members: list[int], moments_s: tuple[float, float, float], peak_iod: float
    ) -> Cause:
        """What else explains what `members` do from onset to offset, the samples of `window`; empty where nothing."""
        onset_s, _, offset_s = moments_s
        times_s, unsteady = self.signal.times_s, self.signal.unsteady
        if _is_blink(self.lowered[window], peak_iod):
            return "blink"
        if self._stays(members, peak_iod) and _is_step(self.signal, members, moments_s, peak_iod):
            return "cut"
        during = (times_s >= onset_s) & (times_s <= offset_s)
        return "head-turn" if bool(during.any()) and float(np.mean(unsteady[during])) > _UNSTEADY_SHARE else ""

    def _stays(self, members: list[int], peak_iod: float) -> bool:
        """Whether the face is not on its way back at the end, as far as it is seen."""
        return float(self.ways[-1, members].max()) >= _STAYS_SHARE * peak_iod


def is_supported(excess: Float32Array, members: list[int]) -> bool:
    """Whether more than one region that is hard to measure moves: bare skin, the border of the face and a lip that
    parts from teeth err alone. Another that moves must be of the same half: a mouth that speaks says nothing of a brow.

    `excess` float32 [R] is the distance of all regions from rest over their thresholds; `members` move, most first.
    """
    if not all(REGIONS[r].startswith(_UNSURE) for r in members):
        return True
    others = [r for r in range(len(REGIONS)) if not LIDS[r] and r != members[0] and COUPLED[r] == COUPLED[members[0]]]
    return bool(excess[others].max() >= _SUPPORT_SHARE)


def _is_blink(lowered: Float32Array, peak_iod: float) -> bool:
    """Whether the lids, `lowered` float32 [T, lids] in IOD, went down by far more than all else moved.

    What lasts far longer than they were down is not their doing.
    """
    lids = float(lowered.max())
    if lids < BLINK_IOD or peak_iod >= _BLINK_SHARE * lids:
        return False
    return float(np.mean(lowered.max(axis=1) >= lids / 2)) >= _BLINK_TIME_SHARE


def _is_step(signal: MotionSignal, members: list[int], moments_s: tuple[float, float, float], peak_iod: float) -> bool:
    """Whether the face was elsewhere from one frame to the next and stayed there until the clip ended.

    That is a cut, or a codec that starts anew with a key frame; muscles take several frames.
    """
    onset_s, apex_s, offset_s = moments_s
    if offset_s < signal.times_s[-1]:
        return False
    since = max(int(np.searchsorted(signal.times_s, onset_s)) - 1, 0)
    until = int(np.searchsorted(signal.times_s, apex_s, side="right"))
    jumps = np.linalg.norm(np.diff(signal.displacement[since:until, members], axis=0), axis=-1)
    return bool(len(jumps)) and float(jumps.max()) > _STEP_SHARE * peak_iod
