"""How slowly an upload may come, whichever protocol brings it."""

from __future__ import annotations

from server.api.gateway import now
from server.api.limits import Limits


class Pace:
    """Until when an upload may take for its next piece, `stalled_at`: every byte buys time, but never more than the
    longest pause, so that neither standing still nor dripping holds a connection for long.
    """

    def __init__(self, limits: Limits) -> None:
        self._pause_s = limits.upload_idle_s
        self._rate = limits.upload_bytes_per_s
        self.stalled_at = now() + self._pause_s

    def advance(self, count: int) -> None:
        """`count` bytes have come."""
        self.stalled_at = min(self.stalled_at + count / self._rate, now() + self._pause_s)

    @property
    def complaint(self) -> str:
        """What is said of an upload that was too slow, with the settings."""
        return (
            f"for {self._pause_s:g} s the upload stood still or was slower than {self._rate} bytes per second"
            " (GLIMPSE_LIMITS__UPLOAD_IDLE_SECONDS, GLIMPSE_LIMITS__UPLOAD_BYTES_PER_SECOND)"
        )
