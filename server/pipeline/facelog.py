"""What is kept of one face while a clip or a stream goes by: a few hundred bytes a frame, no pictures."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import numpy as np

from server.faces.align import warp_with_chin
from server.faces.quality import grade
from server.pipeline.pacing import Look
from server.spotting.signal import REGIONS, MotionSignal, RegionTracker
from server.types import Crop, FaceQuality, FaceSummary, Float64Array, TrackedFace

UNSTEADY_IOD = 0.02
"""Spread of the tracked points beyond which the head has turned: as large as a micro-expression itself."""
_TURNED_RAD = math.radians(5.0)
"""Turn since the reference picture beyond which regions do not compare with it any more."""
GAP_S = 0.25
"""Longest time out of view across which a movement is still followed."""
_QUALITY_EVERY_S = 0.2
_QUALITIES = 64
"""How many of the last qualities are kept when the rest is forgotten."""
_POSE, _MOTION = 6, 2 * len(REGIONS)
"""Numbers of one frame: those of its transform, and those of its displacement."""
_QUALITY_FIELDS = ("iod_px", "sharpness", "yaw_deg", "pitch_deg", "roll_deg", "inside")


_WHITE = 233.0
"""Just under the white of video luma, 235."""
_WHITE_SHARE = 0.1
_FACE = (slice(48, 240, 2), slice(32, 224, 2))


def _burnt_out(crop: Crop) -> bool:
    """Whether so much of the face is clipped to white that its texture, and with it motion, is gone."""
    return float(np.mean(crop.gray[_FACE] >= _WHITE)) > _WHITE_SHARE


class FaceLog:
    """Regional motion, alignment and quality of one track."""

    def __init__(self, track_id: int) -> None:
        self.track_id = track_id
        self._regions = RegionTracker()
        self._frames = array("q")
        self._times = array("d")
        self._transforms = array("d")
        self._displacement = array("f")
        self._unsteady = array("b")
        self._turn = array("f")
        self._qualities = array("f")
        self._quality_due_s = -1.0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def frames(self) -> frozenset[int]:
        """Indices of the frames in which the face was in view."""
        return frozenset(self._frames)

    @property
    def weight(self) -> float:
        """How much there is to see of this face: eye distance in px, summed over its frames."""
        return self.quality().iod_px * len(self)

    @property
    def unsteady(self) -> bool:
        """Whether the last frame says nothing of expressions: the head turns, or the picture is burnt out."""
        return bool(self._unsteady[-1])

    @property
    def away_s(self) -> float:
        """How long the face had been out of view when it was last seen: the time since the frame before that."""
        return self._times[-1] - self._times[-2] if len(self) > 1 else 0.0

    @property
    def quiet_s(self) -> float:
        """For how long the face has been at rest when it was last seen, but for its lids."""
        return self._regions.quiet_s(self._times[-1])

    def motion(self) -> tuple[tuple[float, float], ...]:
        """The displacement of each region in the last frame, x and y in IOD, in the order of `REGIONS`."""
        last = self._displacement[-_MOTION:]
        return tuple(zip(last[::2], last[1::2], strict=True))

    def add(self, look: Look, face: TrackedFace) -> None:
        """Take in the face of one look. In the frames that were skipped before it, the face was on its way."""
        frame = look.frame
        crop = Crop(warp_with_chin(frame.luma, face.transform), frame.time_s, face.transform)
        displacement = self._regions.update(crop, face.anchor_id, face.landmarks_crop)
        turned = self._regions.turned_rad > _TURNED_RAD
        unsteady = face.residual_iod > UNSTEADY_IOD or turned or _burnt_out(crop)
        here = np.concatenate((face.transform.ravel(), displacement.ravel(), self._regions.turn), dtype=np.float64)
        if look.skipped and self._frames and self._frames[-1] == look.after:
            since_s, there, then = self._times[-1], self._newest(), bool(self._unsteady[-1])
            for index, time_s in look.skipped:
                share = (time_s - since_s) / (frame.time_s - since_s)
                self._append(index, time_s, there + share * (here - there), unsteady=unsteady or then)
        self._append(frame.index, frame.time_s, here, unsteady=unsteady)
        if frame.time_s >= self._quality_due_s:
            self._qualities.extend(getattr(face.quality, name) for name in _QUALITY_FIELDS)
            self._quality_due_s = frame.time_s + _QUALITY_EVERY_S

    def _newest(self) -> Float64Array:
        """What `_append` was given last."""
        return np.array([*self._transforms[-_POSE:], *self._displacement[-_MOTION:], *self._turn[-2:]])

    def _append(self, index: int, time_s: float, measured: Float64Array, *, unsteady: bool) -> None:
        values = measured.tolist()
        self._frames.append(index)
        self._times.append(time_s)
        self._unsteady.append(unsteady)
        self._transforms.extend(values[:_POSE])
        self._displacement.extend(values[_POSE : _POSE + _MOTION])
        self._turn.extend(values[_POSE + _MOTION :])

    def forget(self, before_s: float) -> None:
        """Let go of what is older than `before_s`, as a stream without an end must; the last frame stays."""
        gone = min(bisect_left(self._times, before_s), len(self) - 1)
        for kept, width in (
            (self._frames, 1),
            (self._times, 1),
            (self._transforms, _POSE),
            (self._displacement, _MOTION),
            (self._unsteady, 1),
            (self._turn, 2),
        ):
            del kept[: gone * width]
        spare = len(self._qualities) // len(_QUALITY_FIELDS) - _QUALITIES
        if spare > 0:
            del self._qualities[: spare * len(_QUALITY_FIELDS)]

    def signals(self) -> Iterator[MotionSignal]:
        """The motion of each stretch in which the face was in view without a gap."""
        whole = self.signal()
        cuts = np.flatnonzero(np.diff(whole.times_s) > GAP_S) + 1
        for part in np.split(np.arange(len(self)), cuts):
            if len(part) >= 2:
                yield whole.part(slice(int(part[0]), int(part[-1]) + 1))

    def signal(self) -> MotionSignal:
        """The motion over the whole clip, gaps and all."""
        return self._since(0)

    def recent(self, seconds: float) -> MotionSignal:
        """The motion of the last `seconds`, with gaps and all: a copy of little."""
        return self._since(bisect_left(self._times, self.last_s - seconds))

    def stretch(self) -> MotionSignal:
        """The motion since the face was last out of view for longer than a movement is followed."""
        gaps = np.flatnonzero(np.diff(np.array(self._times)) > GAP_S)
        return self._since(int(gaps[-1]) + 1 if len(gaps) else 0)

    def _since(self, start: int) -> MotionSignal:
        displacement = np.array(self._displacement[start * _MOTION :], dtype=np.float32)
        return MotionSignal(
            frames=np.array(self._frames[start:], dtype=np.int64),
            times_s=np.array(self._times[start:], dtype=np.float64),
            displacement=displacement.reshape(-1, len(REGIONS), 2),
            unsteady=np.array(self._unsteady[start:], dtype=np.bool_),
            turn=np.array(self._turn[2 * start :], dtype=np.float32).reshape(-1, 2),
        )

    def absences(self, longer_s: float, duration_s: float) -> list[tuple[float, float]]:
        """From when to when, in seconds, the face was out of view for more than `longer_s` after it was first seen."""
        times = np.array([*self._times, duration_s])
        gone = np.flatnonzero(np.diff(times) > longer_s)
        return [(float(times[i]), float(times[i + 1])) for i in gone]

    def neighbours(self, frame: int, reach_s: float) -> list[int]:
        """The frames within `reach_s` seconds of `frame` in which the face was in view, `frame` first."""
        times = np.array(self._times, dtype=np.float64)
        near = np.flatnonzero(np.abs(times - times[self._index(frame)]) <= reach_s)
        return [frame, *(self._frames[x] for x in near if self._frames[x] != frame)]

    def around(self, time_s: float) -> tuple[int, int]:
        """The frames before and after `time_s` in which the face was seen; the nearest one twice outside of them."""
        after = min(bisect_left(self._times, time_s), len(self) - 1)
        before = after if self._times[after] <= time_s else max(after - 1, 0)
        return self._frames[before], self._frames[after]

    def within(self, start_s: float, stop_s: float) -> list[int]:
        """The frames from one time to another in which the face was in view."""
        return self._frames[bisect_left(self._times, start_s) : bisect_right(self._times, stop_s)].tolist()

    def transforms(self) -> Float64Array:
        """The frame-to-crop transforms of all logged frames, float64 [T, 2, 3]."""
        return np.array(self._transforms, dtype=np.float64).reshape(-1, 2, 3)

    def transform_at(self, frame: int) -> Float64Array:
        """The frame-to-crop transform of a logged frame, float64 [2, 3]."""
        index = self._index(frame)
        return np.array(self._transforms[_POSE * index : _POSE * (index + 1)], dtype=np.float64).reshape(2, 3)

    def _index(self, frame: int) -> int:
        return bisect_left(self._frames, frame)

    def sees(self, time_s: float) -> bool:
        """Whether the face was in view at `time_s`, give or take a gap that spotting bridges."""
        return bool(np.abs(np.array(self._times) - time_s).min() <= GAP_S)

    @property
    def first_s(self) -> float:
        """When the face was first seen."""
        return self._times[0]

    @property
    def last_s(self) -> float:
        """When the face was last seen."""
        return self._times[-1]

    def quality(self) -> FaceQuality:
        """Median quality over the time in view."""
        table = np.array(self._qualities, dtype=np.float32).reshape(-1, len(_QUALITY_FIELDS))
        return FaceQuality(**dict(zip(_QUALITY_FIELDS, (float(x) for x in np.median(table, axis=0)), strict=True)))

    def summary(self, fps: float) -> FaceSummary:
        """What the report says of this face."""
        quality = self.quality()
        return FaceSummary(self.track_id, round(self.first_s, 4), round(self.last_s, 4), quality, grade(quality, fps))
