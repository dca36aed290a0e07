"""The movements of one live stream, measured beside the stream: one at a time, and those that are over first.

A movement is measured from its apex on, while the face is on its way back, so that its event is told as soon as it is
over. Where its onset or apex turn out to lie elsewhere it is measured again.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import TypeAlias

from server.contract import FlowMethod
from server.errors import FaceError
from server.pipeline.event_frames import EventFrames
from server.pipeline.frame_store import Excerpt
from server.pipeline.jobs import StageTime
from server.pipeline.measure import Measurer, Movement, StageClock
from server.types import Interval

_ALIKE_GAPS = 1.5
_ALIKE_S = 0.02
"""Near its apex a face stands still, and at its onset it hardly moves yet: so much later or earlier looks the same."""
_MOST_DUE = 4
"""Movements that may be over and wait, with their pictures; with more of them the stream waits."""

Run: TypeAlias = Callable[[Callable[[], Movement]], "Future[Movement]"]
"""Starts a measurement and hands back where its result will be."""


def beside(work: Callable[[], Movement]) -> Future[Movement]:
    """In a thread of its own."""
    future: Future[Movement] = Future()
    # Not a daemon: a process that ends by itself within the libraries of such a thread is aborted.
    Thread(target=_answer, args=(future, work), name="glimpse-measure").start()
    return future


def at_once(work: Callable[[], Movement]) -> Future[Movement]:
    """Before anything else, so that what is told with which picture does not depend on how fast the machine is."""
    future: Future[Movement] = Future()
    _answer(future, work)
    return future


def _answer(future: Future[Movement], work: Callable[[], Movement]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where the result is taken
        future.set_exception(error)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one measurement needs, none of which changes any more; `fps` are the frames per second around it."""

    plan: EventFrames
    pictures: Excerpt
    fps: float

    def is_like(self, interval: Interval) -> bool:
        """Whether what is measured of this holds for a movement with those bounds."""
        mine, tolerance_s = self.plan.interval, max(_ALIKE_GAPS / self.fps, _ALIKE_S)
        moved_s = max(abs(mine.onset_s - interval.onset_s), abs(mine.apex_s - interval.apex_s))
        return moved_s <= tolerance_s


@dataclass(frozen=True, slots=True)
class Ended:
    """A movement that is over, and what was measured of it, None where that failed, and when."""

    movement: int
    sample: Sample
    measured: Movement | None
    timeline: tuple[StageTime, ...] = ()


@dataclass(slots=True)
class _Trial:
    sample: Sample
    future: Future[Movement]
    clock: StageClock
    over: bool = False
    measured: Movement | None = None

    def tells_of(self, sample: Sample) -> bool:
        """Whether it answers for `sample`: a failure only where just that was tried."""
        if self.measured is None:
            return self.over and self.sample is sample
        return self.sample.is_like(sample.plan.interval)


class LiveMeasuring:
    """For the thread of the stream alone, which it keeps waiting only where it is asked to, or where too much is due.

    Movements are known by their numbers. `clock` is told what measuring took.
    """

    def __init__(self, measurer: Measurer, wanted: tuple[str, FlowMethod], clock: StageClock, run: Run) -> None:
        self._measurer = measurer
        self._wanted = wanted
        self._clock = clock
        self._run = run
        self._running: _Trial | None = None
        self._trials: dict[int, _Trial] = {}
        self._due: dict[int, Sample] = {}

    def __len__(self) -> int:
        """Of how many movements something is kept."""
        return len(self._trials.keys() | self._due.keys())

    def consider(self, movement: int, interval: Interval, sample: Callable[[], Sample]) -> None:
        """A movement goes on: measure it by now, unless that was done or something else is to be measured.

        Raises as `ended`.
        """
        self._collect()
        known = self._trials.get(movement)
        if self._running is None and not self._due and (known is None or not known.sample.is_like(interval)):
            self._begin(movement, sample())

    def end(self, movement: int, sample: Sample) -> None:
        """A movement is over: `ended` will tell of it."""
        self._due[movement] = sample

    def forget(self, movement: int) -> None:
        """It was none: what was measured of it is not wanted."""
        self._trials.pop(movement, None)

    def ended(self, *, wait: bool = False) -> list[Ended]:
        """Movements that are over and measured by now; with `wait`, all that are over.

        Raises what measuring raised where that was no `FaceError`: a defect, or want of memory.
        """
        found: list[Ended] = []
        self._collect()
        while True:
            found += [self._told(movement) for movement in list(self._due) if self._is_measured(movement)]
            if self._running is None and self._due:
                self._begin(*next(iter(self._due.items())))
            elif len(self._due) <= (0 if wait else _MOST_DUE):
                return found
            self._collect(wait=wait or len(self._due) > _MOST_DUE)

    def _begin(self, movement: int, sample: Sample) -> None:
        clock = StageClock()
        work = partial(self._measurer.movement, sample.plan, sample.pictures, self._wanted, sample.fps, clock)
        self._running = self._trials[movement] = _Trial(sample, self._run(work), clock)

    def _collect(self, *, wait: bool = False) -> None:
        trial = self._running
        if trial is None or not (wait or trial.future.done()):
            return
        self._running, trial.over = None, True
        error = trial.future.exception()
        self._clock.add(trial.clock)
        if error is None:
            trial.measured = trial.future.result()
        elif not isinstance(error, FaceError):
            raise error

    def _is_measured(self, movement: int) -> bool:
        trial = self._trials.get(movement)
        return trial is not None and trial.tells_of(self._due[movement])

    def _told(self, movement: int) -> Ended:
        sample, trial = self._due.pop(movement), self._trials.pop(movement)
        if trial.measured is None:
            return Ended(movement, sample, None)
        measured = Movement.of(trial.measured.measured, sample.plan.interval, sample.fps)
        return Ended(movement, sample, measured, trial.clock.timeline)
