"""What has become of the frames of a stream, over all its connections."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from client.live_types import FrameDropped, FrameRefused, FrameResult, Reconnected, StreamEvent, StreamReply, Withdrawn

_LAGS = 4096


@dataclass(slots=True)
class Tally:
    """Counts since the stream was opened. Every frame of `sent` is in one of `analysed`, `dropped`, `refused` and
    `unanswered`, or still under way.
    """

    sent: int = 0
    analysed: int = 0
    dropped: int = 0
    refused: int = 0
    unanswered: int = 0
    events: int = 0
    withdrawn: int = 0
    reconnects: int = 0
    _lags: deque[float] = field(default_factory=lambda: deque(maxlen=_LAGS), repr=False)

    def add(self, reply: StreamReply) -> None:
        """Count a reply."""
        match reply:
            case FrameResult():
                self.analysed += 1
            case FrameDropped():
                self.dropped += 1
            case FrameRefused():
                self.refused += 1
            case StreamEvent():
                self.events += 1
            case Withdrawn():
                self.withdrawn += 1
            case Reconnected():
                self.reconnects += 1
            case _:
                pass

    def note_lag(self, seconds: float) -> None:
        """From the moment in which a frame was handed in to its result."""
        self._lags.append(seconds)

    def lag_s(self, share: float) -> float:
        """The lag, in seconds, that so large a share of the latest frames did not pass; 0 before the first."""
        return float(np.quantile(np.array(self._lags or [0.0]), share))
