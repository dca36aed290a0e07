"""Recorded frames at the speed at which they were recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from client.live_types import Frame


def paced(
    frames: Iterable[Frame],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Frame]:
    """The frames, none before its time, counted from the first. One that is late comes at once."""
    start: float | None = None
    for frame in frames:
        due = frame.capture_us / 1e6
        start = clock() - due if start is None else start
        ahead = start + due - clock()
        if ahead > 0:
            sleep(ahead)
        yield frame
