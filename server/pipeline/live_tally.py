"""What the statistics of a live stream are made of, told to the metrics as it happens."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from server.pipeline.base import Observer
from server.streams import (
    Candidate,
    FrameDropped,
    FrameRefused,
    FrameResult,
    LiveEvent,
    Onset,
    StreamStats,
    Withdrawn,
)
from server.types import ModelRef

_LAGS = 4096
"""How many of the last lags are kept, of a stream that may go on for days."""


@dataclass(slots=True)
class Tally:
    """Counts the replies of one stream, and tells `observer` of its frames."""

    observer: Observer
    received: int = 0
    analysed: int = 0
    dropped: int = 0
    refused: int = 0
    events: int = 0
    withdrawn: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    lags: deque[float] = field(default_factory=lambda: deque(maxlen=_LAGS))

    def count(
        self, reply: FrameResult | FrameDropped | FrameRefused | Onset | Candidate | LiveEvent | Withdrawn
    ) -> None:
        """Take one in."""
        match reply:
            case FrameResult():
                self.first_s = reply.time_s if not self.analysed else self.first_s
                self.analysed, self.last_s = self.analysed + 1, reply.time_s
                self.lags.append(reply.lag_s)
                self.observer.count_live_frame("analysed")
                self.observer.observe_live_lag(reply.lag_s)
            case FrameDropped():
                self.dropped += 1
                self.observer.count_live_frame("dropped")
            case FrameRefused():
                self.refused += 1
                self.observer.count_live_frame("refused")
            case LiveEvent():
                self.events += 1
            case Withdrawn():
                self.withdrawn += 1

    def counts(self) -> dict[str, int]:
        """What became of frames and movements until now, by the names of `StreamStats`."""
        names = ("received", "analysed", "dropped", "refused", "events", "withdrawn")
        return {name: getattr(self, name) for name in names}

    def stats(self, model: ModelRef) -> StreamStats:
        """All of it; `duration_s` from the first frame that was looked at to the last one."""
        lags = np.array(self.lags or [0.0])
        return StreamStats(
            received=self.received,
            analysed=self.analysed,
            dropped=self.dropped,
            refused=self.refused,
            events=self.events,
            withdrawn=self.withdrawn,
            duration_s=round(self.last_s - self.first_s, 6),
            lag_p50_s=round(float(np.quantile(lags, 0.5)), 6),
            lag_p99_s=round(float(np.quantile(lags, 0.99)), 6),
            model=model,
        )
