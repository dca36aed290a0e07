"""The live meter of `glimpse live`: frames per second, lag, drops, the state of each face, the last events."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

import client
from client import Tally
from server import live_lines

_EVENTS = 5
_SPAN_S = 2.0
_PAUSE_S = 0.125
_STYLES = {"resting": "green", "moving": "bold yellow", "unsteady": "red", "starting": "dim"}


class Meter:
    """Takes every reply; `rich` draws it. `events` asks for the last ones, for a terminal that shows no lines."""

    def __init__(self, tally: Tally, *, events: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._tally = tally
        self._clock = clock
        self._results: deque[float] = deque()
        self._faces: tuple[client.LiveFace, ...] = ()
        self._time_s = 0.0
        self._lines: deque[str] | None = deque(maxlen=_EVENTS) if events else None

    def take(self, reply: client.StreamReply) -> None:
        """Note a reply."""
        if isinstance(reply, client.FrameResult):
            self._results.append(self._clock())
            self._faces, self._time_s = reply.faces, reply.time_s
        elif self._lines is not None and (line := live_lines.as_text(reply)) is not None:
            self._lines.append(line.rstrip("\n"))

    def frames_per_s(self) -> float:
        """Results of the last two seconds, per second."""
        since = self._clock() - _SPAN_S
        while self._results and self._results[0] < since:
            self._results.popleft()
        return len(self._results) / _SPAN_S

    def __rich__(self) -> Group:
        tally = self._tally
        lag = f"lag {tally.lag_s(0.5) * 1e3:.0f} ms (99 %: {tally.lag_s(0.99) * 1e3:.0f} ms)"
        lines = [
            f"{self._time_s:8.2f} s   {self.frames_per_s():6.1f} frames/s   {lag}",
            f"events {tally.events}   dropped {tally.dropped}   refused {tally.refused}",
        ]
        faces = [Text(f"face {face.track_id}: {face.state}", style=_STYLES.get(face.state, "")) for face in self._faces]
        return Group(
            *map(Text, lines), *(faces or [Text("no face", style="dim")]), *(Text(line) for line in self._lines or ())
        )


@contextmanager
def shown(tally: Tally, *, lines: bool) -> Iterator[Meter | None]:
    """A meter on stderr where that is a terminal, else None. `lines` tells that stdout gets lines for people."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    # Lines on the same terminal stand above the meter; those for another place must not be drawn here.
    together = sys.stdout.isatty()
    meter = Meter(tally, events=not (together and lines))
    with Live(meter, console=console, auto_refresh=False, redirect_stdout=together, transient=True) as live:
        drawing = asyncio.get_running_loop().create_task(_draw(live))
        try:
            yield meter
        finally:
            drawing.cancel()


async def _draw(live: Live) -> None:
    """Here and not in a thread of rich's, which would read what the event loop is writing."""
    while True:
        live.refresh()
        await asyncio.sleep(_PAUSE_S)
