"""One live stream inside its worker process: pictures in, in order; states of faces and steps of movements out.

The stages are those of clips: the same tracker, log, spotting and measurement. What differs is that nothing can be
decoded again, so that the last pictures are kept (`frame_store`), and that nothing is known of what comes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from server.errors import GlimpseError, OptionError
from server.faces.align import apply, invert
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.faces.track import MEMORY_S
from server.media.stream import read_frame
from server.pipeline.event_frames import EventFrames
from server.pipeline.facelog import GAP_S, FaceLog
from server.pipeline.following import Following
from server.pipeline.frame_store import FrameStore
from server.pipeline.live_jobs import LiveOpen, Looked, Told
from server.pipeline.live_measuring import Ended, LiveMeasuring, Run, Sample, beside
from server.pipeline.measure import Measurer, StageClock
from server.recipes.registry import RECIPES
from server.spotting.causal import RECENT_S, WINDOW_S, CausalSpotter, News
from server.streams import FaceState, FrameRefused, FrameResult, LiveFace, LiveFrame, WithdrawReason
from server.types import CROP_EYE_Y_PX, CROP_IOD_PX, CROP_SIZE_PX, Frame, Interval, TrackedFace

_START_S = 0.5
"""How long a face must be seen before it is known how it rests."""
_BEHIND_S = 0.06
"""Pictures that wait and span more are looked at two by two: three of a camera of 25 or 30 per second."""
_FORGET_EVERY_S = 0.5
_LARGEST_CLOCK_US = 10 * 365 * 86400 * 1_000_000
_LARGEST_INDEX = 2**63 - 1
_RATE_OVER_S = 1.0
_CROP_EYES = np.array(
    [[CROP_SIZE_PX / 2 + side * CROP_IOD_PX / 2, CROP_EYE_Y_PX] for side in (-1, 1)], dtype=np.float64
)


@dataclass(slots=True)
class _Watch:
    """One face of the stream. `numbers` are those of its movements in the stream, by those of its spotter; `measured`
    are those of the spotter that are to be measured while they go on.
    """

    log: FaceLog
    spotter: CausalSpotter = field(default_factory=CausalSpotter)
    numbers: dict[int, int] = field(default_factory=dict)
    measured: set[int] = field(default_factory=set)
    forget_s: float = -math.inf

    @property
    def moments_s(self) -> list[float]:
        """What a movement that is under way would be measured on."""
        return [moment_s for each in self.spotter.under_way.values() for moment_s in (each.onset_s, each.apex_s)]


class LiveSession:
    """One stream. Not thread-safe; made anew for each stream, on face networks that are shared.

    `run` says where movements are measured: `live_measuring.beside` the stream, or `live_measuring.at_once`.
    """

    def __init__(
        self, detector: FaceDetector, landmarker: FaceLandmarker, opened: LiveOpen, *, run: Run = beside
    ) -> None:
        self._opened = opened
        everyone = opened.options.faces == "all"
        self.clock = StageClock()
        self._following = Following(
            detector,
            landmarker,
            self.clock,
            most=opened.max_faces if everyone else 1,
            thorough=everyone,
            prefer_larger=not everyone,
        )
        wanted = (opened.recipe, opened.flow)
        self._measuring = LiveMeasuring(Measurer(detector, landmarker), wanted, self.clock, run)
        self._store = FrameStore(opened.limits, opened.store_bytes)
        self._watches: dict[int, _Watch] = {}
        self._seen: tuple[LiveFace, ...] = ()
        self._count = 0
        self._zero_us = opened.options.clock_zero_us
        self._last: tuple[int, float, tuple[int, int]] | None = None

    def push(self, picture: LiveFrame, *, behind_s: float = 0.0) -> Looked:
        """Look at the next picture. One that cannot be looked at is refused, and changes nothing.

        `behind_s` is 0 where no later picture is here already, else the time between the first and the last of those
        that wait. Where the client does not wait for us, we hurry then: movements are looked for less often, and far
        behind faces in every second picture.
        """
        try:
            frame = self._read(picture)
        except GlimpseError as error:
            return Looked(FrameRefused(picture.index, picture.capture_us, error.code, error.message, goes_on=True))
        told = self._start_anew(frame)
        self._last = (frame.index, frame.time_s, (frame.luma.shape[0], frame.luma.shape[1]))
        self._store.add(picture, frame.time_s)
        self._store.hold(x for watch in self._watches.values() for x in watch.moments_s)
        if self._opened.options.policy == "wait":
            behind_s = 0.0
        faces = self._following.update(frame, behind=behind_s >= _BEHIND_S)
        if faces is not None:
            for face in faces:
                told += self._spot(face.track_id, hurried=behind_s > 0)
            told += self._part(frame.time_s)
            told += self._measured()
            self._seen = tuple(self._public(face) for face in faces)
        return Looked(FrameResult(picture.index, picture.capture_us, frame.time_s, self._seen), tuple(told))

    def end(self) -> tuple[Told, ...]:
        """The stream is over. What is under way of a face in view ends with it, as in a clip; the rest is withdrawn.

        Waits until all that has ended is measured.
        """
        told: list[Told] = []
        for watch in self._watches.values():
            if self._last is not None and self._last[1] - watch.log.last_s > GAP_S:
                told += self._end(watch, "stream-ended")
                continue
            with self.clock.time("spotting"):
                news = watch.spotter.finish(watch.log.stretch())
            told += [step for each in news for step in self._tell(watch, each)]
        return (*told, *map(_event, self._measuring.ended(wait=True)))

    def _read(self, picture: LiveFrame) -> Frame:
        zero_us = picture.capture_us if self._zero_us is None else self._zero_us
        elapsed_us = picture.capture_us - zero_us
        if not 0 <= elapsed_us < _LARGEST_CLOCK_US:
            message = f"frame {picture.index}: its capture time lies before the stream's zero, or years after it"
            raise OptionError(message, option="capture_time_us", stage="decode")
        if not 0 <= picture.index <= _LARGEST_INDEX:
            message = f"frame {picture.index}: frame_index must be 0 or more, and fit in 63 bits"
            raise OptionError(message, option="frame_index", stage="decode")
        time_s = elapsed_us / 1e6
        if self._last is not None:
            index, before_s, _ = self._last
            if picture.index <= index:
                message = f"frame {picture.index}: frame_index must rise; the last one was {index}"
                raise OptionError(message, option="frame_index", stage="decode")
            if time_s <= before_s:
                message = f"frame {picture.index}: its capture time, {time_s:.6f} s, is not after {before_s:.6f} s"
                raise OptionError(message, option="capture_time_us", stage="decode")
        with self.clock.time("decode"):
            frame = read_frame(picture, time_s, self._opened.limits)
        self._zero_us = zero_us
        return frame

    def _start_anew(self, frame: Frame) -> list[Told]:
        """A picture of another size shows the faces elsewhere: they are found again, as others."""
        if self._last is None or self._last[2] == frame.luma.shape:
            return []
        told = [told for watch in self._watches.values() for told in self._end(watch, "face-lost")]
        self._watches.clear()
        self._following.forget()
        self._seen = ()
        self._store.clear()
        return told

    def _spot(self, track_id: int, *, hurried: bool) -> list[Told]:
        watch = self._watches.get(track_id)
        if watch is None:
            watch = self._watches[track_id] = _Watch(self._following.logs[track_id])
        log, told = watch.log, list[Told]()
        with self.clock.time("spotting"):
            if log.away_s > GAP_S:
                told = self._end(watch, "face-lost")
                log.forget(log.last_s)
            elif log.last_s >= watch.forget_s:
                log.forget(log.last_s - WINDOW_S)
                watch.forget_s = log.last_s + _FORGET_EVERY_S
            due = watch.spotter.due(log.recent(RECENT_S), hurried=hurried)
            news = watch.spotter.update(log.stretch()) if due else []
        return told + [step for each in news for step in self._tell(watch, each)]

    def _tell(self, watch: _Watch, news: News) -> list[Told]:
        if news.interval.kind not in self._opened.options.kinds and news.step == "event":
            return self._withdraw(watch, news, "not-an-expression")
        number = watch.numbers.get(news.movement)
        if number is None:
            self._count += 1
            number = watch.numbers[news.movement] = self._count
        if news.step == "withdrawn":
            return self._withdraw(watch, news, "not-an-expression")
        if news.step == "event":
            # Its pictures are gathered now, in case they are still to be measured: later they are gone.
            self._measuring.end(number, self._sample(watch, news.interval))
            self._close(watch, news.movement)
            return []
        if news.step == "candidate" and not RECIPES[self._opened.recipe].frames:
            watch.measured.add(news.movement)
        return [Told(number, watch.log.track_id, news.step, news.interval)]

    def _measured(self) -> list[Told]:
        """The events that can be told, and the next movement of those that go on to be measured."""
        told = [_event(each) for each in self._measuring.ended()]
        for watch in self._watches.values():
            for movement, interval in watch.spotter.under_way.items():
                if movement in watch.measured:
                    sample = partial(self._sample, watch, interval)
                    self._measuring.consider(watch.numbers[movement], interval, sample)
        return told

    def _sample(self, watch: _Watch, interval: Interval) -> Sample:
        recipe = RECIPES[self._opened.recipe]
        fps = 1 / float(np.median(np.diff(watch.log.recent(_RATE_OVER_S).times_s)))
        plan = EventFrames.of(watch.log, interval, recipe.times_s(interval.onset_s, interval.offset_s), [])
        return Sample(plan, self._store.excerpt(plan.frames, (interval.onset_s, interval.apex_s)), fps)

    def _part(self, now_s: float) -> list[Told]:
        """Faces that gave way to a larger one, or were out of sight for too long to come back as themselves."""
        replaced = self._following.replaced
        gone = [x for x in self._watches.values() if x.log.track_id in replaced or now_s - x.log.last_s > MEMORY_S]
        told = [step for watch in gone for step in self._end(watch, "face-lost")]
        for watch in gone:
            self._following.let_go(watch.log.track_id)
            del self._watches[watch.log.track_id]
        return told

    def _end(self, watch: _Watch, reason: WithdrawReason) -> list[Told]:
        return [told for news in watch.spotter.end() for told in self._withdraw(watch, news, reason)]

    def _withdraw(self, watch: _Watch, news: News, reason: WithdrawReason) -> list[Told]:
        number = watch.numbers.get(news.movement)
        self._close(watch, news.movement)
        if number is None:
            return []
        self._measuring.forget(number)
        return [Told(number, watch.log.track_id, "withdrawn", news.interval, reason=reason)]

    def _close(self, watch: _Watch, movement: int) -> None:
        watch.numbers.pop(movement, None)
        watch.measured.discard(movement)

    def _public(self, face: TrackedFace) -> LiveFace:
        watch = self._watches[face.track_id]
        if self._opened.options.detail == "minimal":
            return LiveFace(face.track_id, _state(watch), eyes=(), quality=None)
        left, right = (tuple(float(x) for x in eye) for eye in apply(invert(face.transform), _CROP_EYES))
        return LiveFace(
            track_id=face.track_id,
            state=_state(watch),
            eyes=((left[0], left[1]), (right[0], right[1])),
            quality=face.quality,
            motion=watch.log.motion() if self._opened.options.motion else (),
        )


def _state(watch: _Watch) -> FaceState:
    if watch.log.unsteady:
        return "unsteady"
    if watch.spotter.moving:
        return "moving"
    return "resting" if watch.log.last_s - watch.log.first_s >= _START_S else "starting"


def _event(ended: Ended) -> Told:
    interval, measured = ended.sample.plan.interval, ended.measured
    base = (ended.movement, ended.sample.plan.log.track_id)
    if measured is None:
        return Told(*base, "withdrawn", interval, reason="unmeasured")
    return Told(
        *base,
        "event",
        interval,
        evidence=measured.evidence,
        still=measured.still,
        inputs=measured.measured.inputs,
        contraction=measured.measured.contraction,
        timeline=ended.timeline,
    )
