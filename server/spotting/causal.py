"""Intervals while they happen: the spotting of whole clips, looked at again and again over the last seconds.

`server.spotting.intervals.spot` sees only what lies before now, so a movement appears in its answer while it rises,
with its apex at the last sample; gets an apex that stays where it is once the face is on its way back; and has an
offset before now when the face is at rest again. These three steps are what a live stream is told of. A movement that
is in the answer no longer, as one of a head that had only begun to turn, is withdrawn.

What a stream is told is therefore what a clip of it would be told, but for what only the future could have shown. Most
of that is a resting level that changes, as with a head that turns: a part of the way there looks like a movement of its
own. So none is told to its end that does not bring the face back where it came from, and one that nobody saw begin is
to stay in sight for a while. A mouth that goes on may speak, so that it is waited for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from server.spotting.intervals import spot
from server.spotting.looks import MOVES_S, Look, gap_s
from server.spotting.signal import LIDS, REGIONS, MotionSignal
from server.spotting.speech import COUPLED
from server.types import Interval

WINDOW_S = 6.0
"""The longest expression and the rest before it."""
MAX_RATE_HZ = 100.0
RECENT_S = 0.3
"""What decides whether to look, and how long ago a movement may have ended that was not seen before."""
_STIR_IOD = 0.006
_LOOK_S = 0.025
_HURRIED_LOOK_S = 0.1
_IDLE_LOOK_S = 0.5
_SETTLED_S = 0.01
_SETTLED_GAPS = 1.0
_OVER_GAPS = 0.5
_AWAY_S = 0.25
_HINDSIGHT_S = 0.3
_ALIKE_S = 0.05
_LOOKS = 2
_MISSES = 3
_RISEN = 1.05
_RISEN_S = 0.02
_PEAKS = 32
_SAME_SHARE = 0.5

_FACE = ~np.array(LIDS)
_JAW = ("lip_lower", "chin")
_SYLLABLE_S = 1 / 3
"""Of those that follow each other at 3 to 6 Hz, the longest."""
_NEXT_SYLLABLE_S = 0.25
_PAUSE_S = 0.5
"""Within a sentence, at most."""
_OF_MOUTH = frozenset(name for name, coupled in zip(REGIONS, COUPLED, strict=True) if coupled)

Step: TypeAlias = Literal["onset", "candidate", "event", "withdrawn"]
_STEPS: tuple[Step, ...] = ("onset", "candidate", "event")


@dataclass(frozen=True, slots=True)
class News:
    """One step of one movement. `movement` counts them, from 1. An `event` follows a `candidate`, and that an `onset`,
    each at most once; `withdrawn` may end any of them but the event.
    """

    movement: int
    step: Step
    interval: Interval


@dataclass(slots=True)
class _Watched:
    """A movement that is under way: first seen at `since_s`, of late in `looks` in a row, or not in `misses`; `peaks`
    are when and how large. The mouth `goes_on` if it moved after the end.
    """

    number: int
    interval: Interval
    since_s: float
    told: Step | None = None
    goes_on: bool = False
    looks: int = 0
    misses: int = 0
    peaks: list[tuple[float, float]] = field(default_factory=list)

    def see(self, interval: Interval, now_s: float) -> None:
        """What it is now."""
        self.interval = interval
        self.peaks = [*self.peaks[1 - _PEAKS :], (now_s, interval.peak_iod)]

    def has_risen(self, now_s: float, lag_s: float) -> bool:
        """Whether it is hardly larger now than `lag_s` ago."""
        before = [peak for seen_s, peak in self.peaks if seen_s <= now_s - lag_s]
        return bool(before) and self.interval.peak_iod <= _RISEN * before[-1]


class CausalSpotter:
    """Follows the movements of one face. Give it the signal of the last `WINDOW_S` seconds with every new frame."""

    def __init__(self) -> None:
        self._watched: list[_Watched] = []
        self._past: list[Interval] = []
        self._taken_back: list[Interval] = []
        self._count = 0
        self._look_s = -np.inf

    @property
    def moving(self) -> bool:
        """Whether a movement is under way that has been told of."""
        return any(each.told for each in self._watched)

    @property
    def under_way(self) -> dict[int, Interval]:
        """What is followed, told of or not, as it was last seen, by the number of the movement."""
        return {each.number: each.interval for each in self._watched}

    def due(self, recent: MotionSignal, *, hurried: bool = False) -> bool:
        """Whether `update` would look, by the last `RECENT_S` seconds alone: asking costs far less than looking.

        In a `hurried` stream, whose next frame is here already, a look may wait for that one.
        """
        if len(recent.times_s) < 2:
            return False
        waited_s = float(recent.times_s[-1]) - self._look_s + gap_s(recent) / 2
        pause_s = _HURRIED_LOOK_S if hurried else _LOOK_S
        return waited_s >= _IDLE_LOOK_S or (waited_s >= pause_s and bool(self._watched or _stirs(recent)))

    def update(self, signal: MotionSignal) -> list[News]:
        """What the newest frame of `signal` (at least two) has changed, in order of the movements."""
        if not self.due(signal):
            return []
        look = Look(signal)
        self._look_s = look.now_s
        found = self._seen(look, goes_on=True)
        news = [step for watched in list(self._watched) for step in self._follow(watched, found, look)]
        for interval in found:
            if self._is_fresh(interval, look):
                self._count += 1
                fresh = _Watched(self._count, interval, look.now_s)
                self._watched.append(fresh)
                news += self._advance(fresh, interval, look)
        return news

    def end(self) -> list[News]:
        """The face is gone: what had not come to its end is withdrawn."""
        news = [News(each.number, "withdrawn", each.interval) for each in self._watched if each.told]
        self._watched, self._past, self._taken_back = [], [], []
        return news

    def finish(self, signal: MotionSignal) -> list[News]:
        """The stream ends with the newest frame of `signal`: what is under way ends there, as at the end of a clip."""
        if len(signal.times_s) < 2:
            return self.end()
        look = Look(signal)
        found = self._seen(look, goes_on=False)
        news: list[News] = []
        for watched in self._watched:
            same = next((each for each in found if _continues(watched.interval, each)), None)
            if same is not None:
                found.remove(same)
                done = _STEPS.index(watched.told) + 1 if watched.told else 0
                news += [News(watched.number, step, same) for step in _STEPS[done:]]
            elif watched.told:
                news.append(News(watched.number, "withdrawn", watched.interval))
        for interval in found:
            if self._is_fresh(interval, look):
                self._count += 1
                news += [News(self._count, step, interval) for step in _STEPS]
        self._watched, self._past, self._taken_back = [], [], []
        return news

    def _seen(self, look: Look, *, goes_on: bool) -> list[Interval]:
        """What is in sight and has not been told to its end."""
        self._past, self._taken_back = (
            [each for each in known if each.offset_s > look.now_s - WINDOW_S]
            for known in (self._past, self._taken_back)
        )
        found = spot(look.signal, MAX_RATE_HZ, goes_on=goes_on)
        return [each for each in found if not any(_same(each, past) for past in self._past)]

    def _is_fresh(self, interval: Interval, look: Look) -> bool:
        """Whether it is of now, and no rest of something else."""
        return interval.offset_s >= look.now_s - RECENT_S - look.gap_s and not self._is_rest_of_another(interval)

    def _is_rest_of_another(self, interval: Interval) -> bool:
        """Whether it is what is left of a movement that is none any more: the end of a way to a new resting level."""
        known = [*self._taken_back, *self.under_way.values()]
        return any(_same(interval, each) and not _continues(each, interval) for each in known)

    def _follow(self, watched: _Watched, found: list[Interval], look: Look) -> list[News]:
        """One step of a movement, with its share taken out of `found`."""
        same = next((each for each in found if _continues(watched.interval, each)), None)
        if same is None:
            watched.misses += 1
            watched.looks = 0
            if watched.misses < _MISSES:
                return []
            self._watched.remove(watched)
            self._taken_back.append(watched.interval)
            return [News(watched.number, "withdrawn", watched.interval)] if watched.told else []
        found.remove(same)
        watched.misses = 0
        return self._advance(watched, same, look)

    def _advance(self, watched: _Watched, interval: Interval, look: Look) -> list[News]:
        before_s = watched.interval.offset_s
        watched.see(interval, look.now_s)
        told: list[Step] = []
        watched.looks += 1
        if watched.told is None and watched.looks >= _LOOKS:
            told.append("onset")
            watched.told = "onset"
        if watched.told == "onset" and self._is_past_apex(watched, look):
            told.append("candidate")
            watched.told = "candidate"
        if watched.told == "candidate" and (end := self._end_of(watched, before_s, look)):
            told.append(end)
            self._watched.remove(watched)
            self._past.append(interval)
        return [News(watched.number, step, interval) for step in told]

    @staticmethod
    def _is_past_apex(watched: _Watched, look: Look) -> bool:
        settled_s = max(_SETTLED_S, _SETTLED_GAPS * look.gap_s) - look.gap_s / 4
        risen_s = max(_RISEN_S, 0.75 * look.gap_s)
        return look.now_s - watched.interval.apex_s >= settled_s or watched.has_risen(look.now_s, risen_s)

    def _end_of(self, watched: _Watched, before_s: float, look: Look) -> Step | None:
        """How it ends, if it does: no expression is what leaves the face elsewhere. `before_s` was the last offset."""
        interval = watched.interval
        if look.is_away(interval):
            return "withdrawn" if look.now_s - interval.offset_s >= _AWAY_S else None
        steady = abs(interval.offset_s - before_s) <= _ALIKE_S
        return "event" if steady and self._is_over(watched, look) else None

    def _is_over(self, watched: _Watched, look: Look) -> bool:
        interval = watched.interval
        over_s = look.now_s - interval.offset_s
        mouth_moves = interval.regions[0] in _OF_MOUTH and look.mouth_moves
        # What moved in the last moments is the movement itself, until they lie after its end.
        watched.goes_on |= mouth_moves and over_s > MOVES_S
        if watched.goes_on:
            wait_s = _PAUSE_S
        else:
            wait_s = _NEXT_SYLLABLE_S if self._is_syllable(interval) else _OVER_GAPS * look.gap_s
        foreseen = watched.since_s <= interval.offset_s or look.now_s - watched.since_s >= _HINDSIGHT_S
        return foreseen and over_s >= wait_s and not mouth_moves

    @staticmethod
    def _is_syllable(interval: Interval) -> bool:
        """Whether it looks like one: short, the jaw above all, and nothing but what moves with it."""
        length_s = interval.offset_s - interval.onset_s
        return length_s <= _SYLLABLE_S and interval.regions[0] in _JAW and _OF_MOUTH.issuperset(interval.regions)


def _stirs(signal: MotionSignal) -> bool:
    """Whether anything but the lids has moved a little in the last moments: looking costs more than waiting."""
    since = int(np.searchsorted(signal.times_s, signal.times_s[-1] - RECENT_S))
    recent = signal.displacement[since:]
    return bool((recent.max(axis=0) - recent.min(axis=0))[_FACE].max() > _STIR_IOD)


def _continues(known: Interval, seen: Interval) -> bool:
    """Whether `seen` is what `known` has become: it may go on rising, but half of the rise that is known is part of it.

    A face that stays where it went has a new resting level, and the rise to it is none any more.
    """
    overlap = min(seen.offset_s, known.apex_s) - max(seen.onset_s, known.onset_s)
    return overlap >= _SAME_SHARE * (known.apex_s - known.onset_s)


def _same(one: Interval, other: Interval) -> bool:
    """Whether two looks saw one movement: they share half of the shorter one."""
    overlap = min(one.offset_s, other.offset_s) - max(one.onset_s, other.onset_s)
    shorter = min(one.offset_s - one.onset_s, other.offset_s - other.onset_s)
    return overlap >= _SAME_SHARE * shorter
