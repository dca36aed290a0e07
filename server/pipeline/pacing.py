"""How often a face is looked at: pictures of a camera that is faster than any face are looked at together.

The quickest micro-expression lasts 40 ms, so that a look every 10 ms sees it rise and fall. Above `_MOST_HZ` the mean
of the pictures since the last look stands for them: what noise was in each is less in it, as with a longer exposure.

Of a stream that is behind, every second picture is looked at: better than to look at each ever later, and in the end
to drop the oldest one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from server.types import Frame, UInt8Array

_MOST_HZ = 125.0
_EARLY = 0.06
"""Share of the pause by which a picture may come early: clocks of cameras are not exact."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at: `frame`, the newest one with the mean picture, `skipped` since the last look at `after`, with
    the index and the time of each.
    """

    frame: Frame
    skipped: tuple[tuple[int, float], ...] = ()
    after: int = -1


class Pacing:
    """Takes the frames of one clip or stream, in order, all of one size."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """What comes is another scene."""
        self._mean: UInt8Array | None = None
        self._skipped: tuple[tuple[int, float], ...] = ()
        self._after = -1
        self._looked_s = -np.inf

    def take(self, frame: Frame, *, behind: bool = False) -> Look | None:
        """What is to be looked at now; None where `frame` is looked at with the next: it comes too soon after the last
        look, or is the first since then of a stream that is `behind`.
        """
        luma = frame.luma
        if self._mean is not None:
            share = 1 / (len(self._skipped) + 1)
            luma = np.asarray(cv2.addWeighted(luma, share, self._mean, 1 - share, 0.0), np.uint8)
        if frame.time_s - self._looked_s < (1 - _EARLY) / _MOST_HZ:
            self._mean = luma
            self._skipped = (*self._skipped, (frame.index, frame.time_s))
            return None
        if behind and not self._skipped:
            # A slow camera's pictures are too far apart for their mean: it would show two faces.
            self._skipped = ((frame.index, frame.time_s),)
            return None
        look = Look(replace(frame, luma=luma), self._skipped, self._after)
        self._mean, self._skipped = None, ()
        self._after, self._looked_s = frame.index, frame.time_s
        return look
