"""What the statistics of a live stream are made of, told to the metrics as it happens."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

import numpy as np

from server.pipeline.base import Observer
from server.streams import FrameDropped, FrameRefused, FrameResult, LiveEvent, StreamReply, StreamStats, Withdrawn
from server.types import ModelRef

_LAGS = 4096


class Tally:
    """Counts the frames and movements of one stream. The quantiles of lags are those of its last frames."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.received = 0
        self._analysed = self._dropped = self._refused = 0
        self._events = self._withdrawn = 0
        self._first_s = self._last_s = 0.0
        self._lags: deque[float] = deque(maxlen=_LAGS)

    def frame(
        self, reply: FrameResult | FrameDropped | FrameRefused, arrived: float
    ) -> FrameResult | FrameDropped | FrameRefused:
        """Count one answer to a frame that came at `arrived`; a result gets its lag."""
        if isinstance(reply, FrameDropped):
            self._dropped += 1
            self._observer.count_live_frame("dropped")
            return reply
        if isinstance(reply, FrameRefused):
            self._refused += 1
            self._observer.count_live_frame("refused")
            return reply
        lag_s = time.monotonic() - arrived
        self._first_s = self._first_s if self._analysed else reply.time_s
        self._analysed, self._last_s = self._analysed + 1, reply.time_s
        self._lags.append(lag_s)
        self._observer.count_live_frame("analysed")
        self._observer.observe_live_lag(lag_s)
        return replace(reply, lag_s=round(lag_s, 6))

    def movement(self, reply: StreamReply) -> None:
        """Count the end of a movement."""
        self._events += isinstance(reply, LiveEvent)
        self._withdrawn += isinstance(reply, Withdrawn)

    def stats(self, model: ModelRef) -> StreamStats:
        """The whole stream."""
        lags = np.array(self._lags or [0.0])
        return StreamStats(
            received=self.received,
            analysed=self._analysed,
            dropped=self._dropped,
            refused=self._refused,
            events=self._events,
            withdrawn=self._withdrawn,
            duration_s=round(self._last_s - self._first_s, 6),
            lag_p50_s=round(float(np.quantile(lags, 0.5)), 6),
            lag_p99_s=round(float(np.quantile(lags, 0.99)), 6),
            model=model,
        )
