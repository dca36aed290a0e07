"""Which frames of a fast camera are looked at, by their time stamps."""

from __future__ import annotations

from collections.abc import Iterable

_JITTER = 0.1
"""Share of the spacing that time stamps may be early by: containers round them, Matroska to milliseconds."""


class RateLimit:
    """Keeps frames of a stream evenly spaced, at no more than about `max_fps` frames a second.

    A frame is kept when it comes at least 0.9 / `max_fps` seconds after the last one kept, so of a clip with a steady
    rate every nth frame is kept: even spacing matters more to motion signals than the highest rate. 960 fps limited to
    200 becomes 192, and 240 becomes 120.
    """

    def __init__(self, max_fps: float) -> None:
        self._spacing_s = (1 - _JITTER) / max_fps
        self._last_s: float | None = None

    def keep(self, time_s: float) -> bool:
        """Whether to use the frame at `time_s`, which must not be earlier than the one before."""
        if self._last_s is not None and time_s - self._last_s < self._spacing_s:
            return False
        self._last_s = time_s
        return True


def decimate(times_s: Iterable[float], max_fps: float) -> list[int]:
    """Indices of the frames that a `RateLimit` keeps."""
    limit = RateLimit(max_fps)
    return [index for index, time_s in enumerate(times_s) if limit.keep(time_s)]
