"""How far a run is, how fast, and how long it still takes: drawn on a terminal, or told in lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

Display: TypeAlias = Literal["auto", "plain", "none"]
Clock: TypeAlias = Callable[[], float]

_LINE_EVERY_S = 10.0
_MINUTE_S, _HOUR_S = 60.0, 3600.0


class Pace:
    """Counts the clips of a run: `done` before it, `analysed` and `failed` by it, and the seconds of film it saw."""

    def __init__(self, total: int, clock: Clock = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self.analysed = 0
        self.failed = 0
        self.film_s = 0.0
        self._clock = clock
        self._began_s = clock()

    def begin(self) -> None:
        """From now on time counts."""
        self._began_s = self._clock()

    @property
    def seen(self) -> int:
        """Clips of which nothing more is to be done."""
        return self.done + self.analysed + self.failed

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._began_s

    def text(self) -> str:
        """Failures, rates and what is left, in words."""
        worked, elapsed_s = self.analysed + self.failed, max(self.elapsed_s, 1e-9)
        rate = worked / elapsed_s
        parts = [f"{self.failed} failed"] if self.failed else []
        if worked:
            left_s = (self.total - self.seen) / rate
            parts += [f"{rate:.2f} clips/s", f"{self.film_s / elapsed_s:.1f} s of film per second"]
            parts += [f"{_span(left_s)} left"] if self.seen < self.total else []
        return ", ".join(parts)


@contextmanager
def shown(pace: Pace, display: Display, say: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """A function to call when `pace` has changed. On a terminal `auto` draws a bar; else, and with `plain`, `say` is
    given a line every ten seconds.
    """
    console = Console(stderr=True)
    if display == "none":
        yield lambda: None
    elif display == "auto" and console.is_terminal:
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task("", total=pace.total)
            yield lambda: bars.update(task, completed=pace.seen, description=pace.text())
    else:
        yield _lines(pace, say)


def _lines(pace: Pace, say: Callable[[str], None]) -> Callable[[], None]:
    told_s = pace.elapsed_s

    def tell() -> None:
        nonlocal told_s
        if pace.elapsed_s - told_s >= _LINE_EVERY_S or pace.seen == pace.total:
            told_s = pace.elapsed_s
            say(", ".join(filter(None, (f"{pace.seen} of {pace.total} clips", pace.text()))))

    return tell


def _span(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds < _HOUR_S else f"{seconds / _HOUR_S:.1f} h"
