"""Presentation time stamps to strictly increasing seconds, and the facts that follow from them."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from fractions import Fraction

import numpy as np

from server.types import Float64Array

_LAST_TICK = 2**63 - 1


class Timeline:
    """The time stamps of the frames of one pass, in ticks of `time_base` seconds: 8 bytes a frame.

    `nominal_gap` (ticks) stands in for a missing time stamp. `entries` are indices of frames at which a decoder can
    start afresh.
    """

    def __init__(self, time_base: Fraction, nominal_gap: int) -> None:
        self._time_base = time_base
        self._nominal_gap = max(1, nominal_gap)
        self._ticks = array("q")
        self._last_duration = 0
        self.entries = array("q")
        self.skipped = 0

    def __len__(self) -> int:
        return len(self._ticks)

    def place(self, ticks: int | None, *, duration: int = 0, entry: bool = False) -> float | None:
        """Seconds since the first frame of the next one; None, counted in `skipped`, where it does not come later.

        Two pictures at one instant cannot both be samples of a motion.
        """
        if ticks is None:
            ticks = min(self._ticks[-1] + self._nominal_gap, _LAST_TICK) if self._ticks else 0
        if self._ticks and ticks <= self._ticks[-1]:
            self.skipped += 1
            return None
        if entry:
            self.entries.append(len(self._ticks))
        self._ticks.append(ticks)
        self._last_duration = duration
        return self._seconds(ticks - self._ticks[0])

    def ticks(self, index: int) -> int:
        """Time stamp of a frame as the container has it."""
        return self._ticks[index]

    def time_s(self, index: int) -> float:
        """Seconds since the first frame."""
        return self._seconds(self._ticks[index] - self._ticks[0])

    def index(self, ticks: int | None) -> int | None:
        """The frame with exactly this time stamp."""
        if ticks is None:
            return None
        found = bisect_left(self._ticks, ticks)
        return found if found < len(self._ticks) and self._ticks[found] == ticks else None

    def entry_before(self, index: int) -> int:
        """The last entry at or before a frame; 0 where there is none."""
        position = bisect_right(self.entries, index)
        return self.entries[position - 1] if position else 0

    @property
    def gap_s(self) -> float:
        """Median time between frames, seconds."""
        gaps = self._gaps()
        return float(np.median(gaps)) * float(self._time_base) if gaps.size else self._seconds(self._nominal_gap)

    @property
    def duration_s(self) -> float:
        """From the first frame to the end of the last, which is shown for as long as it says, or for a median gap."""
        if not self._ticks:
            return 0.0
        last = self._seconds(self._last_duration) if self._last_duration > 0 else self.gap_s
        return self.time_s(-1) + last

    def _gaps(self) -> Float64Array:
        return np.diff(np.array(self._ticks, dtype=np.int64)).astype(np.float64)

    def _seconds(self, ticks: int) -> float:
        return float(ticks * self._time_base)
