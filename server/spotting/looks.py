"""What the newest frames of a stream show beside the movements in them: is the face back, does the mouth go on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from server.spotting.signal import REGIONS, MotionSignal
from server.types import Interval

MOVES_S = 0.05
"""What moved within so long ago is under way."""
_MOVES_IOD = 0.006
_AWAY_SHARE = 0.4
_BEFORE_S = 0.1
_RATE_OVER = 32
_MOUTH = [r for r, name in enumerate(REGIONS) if name.startswith(("mouth", "lip", "chin"))]


@dataclass(frozen=True)
class Look:
    """The signal as it is now, and the time between its frames of late."""

    signal: MotionSignal

    @cached_property
    def now_s(self) -> float:
        """When the newest frame was taken."""
        return float(self.signal.times_s[-1])

    @cached_property
    def gap_s(self) -> float:
        """Between frames of late."""
        return gap_s(self.signal)

    def is_away(self, interval: Interval) -> bool:
        """Whether the region that leads a movement is not back where it was before it, as far as it is seen by now."""
        times_s, place = self.signal.times_s, self.signal.displacement[:, REGIONS.index(interval.regions[0])]
        onset = max(int(np.searchsorted(times_s, interval.onset_s, side="right")), 1)
        before = min(int(np.searchsorted(times_s, interval.onset_s - _BEFORE_S)), onset - 1)
        way = place[-1] - place[before:onset].mean(axis=0)
        return float(np.linalg.norm(way)) > _AWAY_SHARE * interval.peak_iod

    @cached_property
    def mouth_moves(self) -> bool:
        """Whether the mouth is under way in the last frames."""
        times_s = self.signal.times_s
        since = min(int(np.searchsorted(times_s, self.now_s - MOVES_S)), len(times_s) - 2)
        return bool(np.ptp(self.signal.displacement[since:, _MOUTH], axis=0).max() > _MOVES_IOD)


def gap_s(signal: MotionSignal) -> float:
    """Between frames of late; half of the gaps are no longer."""
    gaps = np.sort(np.diff(signal.times_s[-_RATE_OVER:]))
    return float(gaps[len(gaps) // 2])
