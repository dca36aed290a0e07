"""What a report says, drawn into the frames of its clip: face, regions that move, class, and a strip of motion below.

Sides, colours and words are those of the timeline (`server.report.render`), but drawn without its library, which
workers do not have.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from server.types import CROP_IOD_PX, Event, Float32Array, Float64Array, Report, UInt8Array
from server.visuals import FaceSignals

Colour = tuple[int, int, int]

_LONGEST_PX, _SHORTEST_PX = 1280, 480
_LARGEST_SCALE = 3.0
_STRIP_PX, _LANE_PX, _MOST_LANES = 58, 62, 4
_CLASSES: Mapping[str, Colour] = {"negative": (213, 94, 0), "positive": (0, 158, 115), "surprise": (0, 114, 178)}
_OTHER: Colour = (138, 145, 155)
_GROUND: Colour = (24, 27, 31)
_LANE: Colour = (44, 49, 56)
_TEXT: Colour = (240, 242, 245)
_FAINT: Colour = (168, 175, 184)
_LEFT_PX, _EDGE_PX = 74, 14
_FACE = np.array([[32, 48], [224, 48], [224, 240], [32, 240]], np.float64)
"""The square of the crop that holds the face (`server.types.CROP_IOD_PX`)."""
_NEAR_S = 0.1
_LEAST_FULL_IOD = 0.02
_AROUND_S = 0.15


class Overlay:
    """Draws what `report`, with its signals, says about the frames of its clip, `width` x `height` px.

    `region_points` are the mesh points of each region. Without signals no box is drawn, without pictures of an event
    no region. `size` is width and height of what `draw` gives, both even.
    """

    def __init__(self, report: Report, width: int, height: int, region_points: Mapping[str, Sequence[int]]) -> None:
        self._report = report
        self._points = region_points
        enlarged = min(_LARGEST_SCALE, max(1.0, _SHORTEST_PX / min(width, height)))
        scale = self._scale = min(enlarged, _LONGEST_PX / max(width, height))
        self._inner = (_even(width * scale), _even(height * scale))
        self._signals = {signals.track_id: signals for signals in report.signals}
        self._tracks = sorted({*self._signals, *(face.track_id for face in report.faces)})[:_MOST_LANES]
        self._font = cv2.FontFace("sans")
        self._strip = self._still_strip()
        self.size = (self._inner[0], self._inner[1] + self._strip.shape[0])

    def draw(self, picture: UInt8Array, index: int, time_s: float) -> UInt8Array:
        """RGB uint8 [H, W, 3] of one frame to what is shown for it, uint8 [size[1], size[0], 3]."""
        width, height = self._inner
        shrinks = self._scale < 1
        large = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        image: UInt8Array = np.ascontiguousarray(large, np.uint8)
        for track in self._tracks:
            transform = self._transform(track, time_s)
            if transform is not None:
                self._draw_face(image, track, transform, time_s)
        strip = self._strip.copy()
        self._draw_now(strip, index, time_s)
        return np.vstack([image, strip])

    def _draw_face(self, image: UInt8Array, track: int, transform: Float64Array, time_s: float) -> None:
        number, event = self._under_way(track, time_s)
        colour = _TEXT if event is None else _colour(event)
        corners = self._placed(_FACE, transform)
        cv2.polylines(image, [corners], isClosed=True, color=_GROUND, thickness=4, lineType=cv2.LINE_AA)
        cv2.polylines(
            image, [corners], isClosed=True, color=colour, thickness=2 if event is None else 3, lineType=cv2.LINE_AA
        )
        words = f"face {track}" if event is None else f"{number}  {caption(event)}"
        x, y = int(corners[:, 0].min()), int(corners[:, 1].min())
        self._label(image, words, (max(x, 2), max(y - 8, 22)), colour)
        if event is not None and event.pictures is not None:
            self._draw_regions(image, event, transform)

    def _draw_regions(self, image: UInt8Array, event: Event, transform: Float64Array) -> None:
        assert event.pictures is not None
        landmarks = event.pictures.landmarks
        far = float(np.hypot(transform[0, 0], transform[1, 0]))
        radius = max(3, round(0.09 * CROP_IOD_PX / max(far, 1e-6) * self._scale))
        for name in event.regions:
            there = [landmarks[point] for point in self._points.get(name, ()) if point < len(landmarks)]
            if there:
                centre = self._placed(np.mean(there, axis=0, keepdims=True), transform)[0]
                at = (int(centre[0]), int(centre[1]))
                cv2.circle(image, at, radius, _GROUND, 3, cv2.LINE_AA)
                cv2.circle(image, at, radius, _colour(event), 2, cv2.LINE_AA)

    def _label(self, image: UInt8Array, words: str, at: tuple[int, int], colour: Colour) -> None:
        x, y = at
        (_, _, wide, _) = cv2.getTextSize((image.shape[1], image.shape[0]), words, (0, 0), self._font, 17, 600)
        x = max(2, min(x, image.shape[1] - wide - 12))
        cv2.rectangle(image, (x, y - 19), (x + wide + 10, y + 5), _GROUND, cv2.FILLED)
        cv2.rectangle(image, (x, y - 19), (x + 4, y + 5), colour, cv2.FILLED)
        self._write(image, words, (x + 9, y - 1), (17, _TEXT, 600))

    def _draw_now(self, strip: UInt8Array, index: int, time_s: float) -> None:
        x = self._across(time_s)
        cv2.line(strip, (x, 32), (x, strip.shape[0] - 6), _TEXT, 1, cv2.LINE_AA)
        self._write(strip, f"{time_s:.3f} s   frame {index}", (_EDGE_PX, 21), (16, _TEXT, 500))
        now = [self._under_way(track, time_s) for track in self._tracks]
        words = "   ".join(f"{number}  {event.kind}, {caption(event)}" for number, event in now if event is not None)
        (_, _, wide, _) = cv2.getTextSize((strip.shape[1], strip.shape[0]), words, (0, 0), self._font, 16, 500)
        self._write(strip, words, (max(strip.shape[1] // 3, strip.shape[1] - _EDGE_PX - wide), 21), (16, _TEXT, 500))

    def _still_strip(self) -> UInt8Array:
        """What of the strip is the same in all frames: bands of events and the largest motion of each face."""
        height = _even(_STRIP_PX - 20 + _LANE_PX * max(len(self._tracks), 1))
        strip: UInt8Array = np.full((height, self._inner[0], 3), _GROUND, np.uint8)
        for lane, track in enumerate(self._tracks):
            top = 34 + lane * _LANE_PX
            right = self._inner[0] - _EDGE_PX
            self._write(strip, f"face {track}", (_EDGE_PX, top + 12), (13, _FAINT, 400))
            cv2.rectangle(strip, (_LEFT_PX, top), (right, top + 14), _LANE, cv2.FILLED)
            for event in self._report.events:
                if event.track_id == track:
                    self._band(strip, event, top)
            if track in self._signals:
                self._curve(strip, self._signals[track], top + 18, _LANE_PX - 24)
        return strip

    def _band(self, strip: UInt8Array, event: Event, top: int) -> None:
        first, apex, last = (self._across(moment) for moment in (event.onset_s, event.apex_s, event.offset_s))
        fill = cv2.FILLED if event.kind == "micro" else 2
        cv2.rectangle(strip, (first, top), (max(last, first + 2), top + 14), _colour(event), fill)
        cv2.line(strip, (apex, top - 3), (apex, top + 17), _TEXT, 2)

    def _curve(self, strip: UInt8Array, signals: FaceSignals, top: int, height: int) -> None:
        motion = largest_motion(signals)
        known = np.isfinite(motion)
        if not known.any():
            return
        full = max(float(motion[known].max()), _LEAST_FULL_IOD)
        self._write(strip, "motion", (_EDGE_PX, top + height), (13, _FAINT, 400))
        xs = np.array([self._across(time_s) for time_s in signals.times_s])
        ys = np.round(top + height - height * np.nan_to_num(motion) / full).astype(int)
        ends = np.flatnonzero(np.diff(known.astype(int))) + 1
        for part in np.split(np.arange(len(motion)), ends):
            if known[part[0]]:
                points = np.column_stack([xs[part], ys[part]]).astype(np.int32)
                cv2.polylines(strip, [points], isClosed=False, color=_FAINT, thickness=1, lineType=cv2.LINE_AA)

    def _across(self, time_s: float) -> int:
        """The column of the strip that stands for a time of the clip."""
        share = min(max(time_s / max(self._report.clip.duration_s, 1e-3), 0.0), 1.0)
        return round(_LEFT_PX + share * (self._inner[0] - _EDGE_PX - _LEFT_PX))

    def _write(self, image: UInt8Array, words: str, at: tuple[int, int], look: tuple[int, Colour, int]) -> None:
        size, colour, weight = look
        cv2.putText(image, words, at, colour, self._font, size, weight)

    def _under_way(self, track: int, time_s: float) -> tuple[int, Event | None]:
        """The event of a face at a time, and its number in the report, from 1 on."""
        for number, event in enumerate(self._report.events, 1):
            if event.track_id == track and event.onset_s <= time_s <= event.offset_s:
                return number, event
        return 0, None

    def _transform(self, track: int, time_s: float) -> Float64Array | None:
        """From px of the frame to px of the crop, float64 [2, 3]; None where the face was not in view."""
        signals = self._signals.get(track)
        if signals is None or not signals.times_s:
            return None
        after = bisect_left(signals.times_s, time_s)
        near = min((after - 1, after), key=lambda at: _away(signals.times_s, at, time_s))
        if _away(signals.times_s, near, time_s) > _NEAR_S:
            return None
        return np.array(signals.transforms[near], np.float64).reshape(2, 3)

    def _placed(self, points: Float64Array, transform: Float64Array) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
        """Points of the crop [N, 2] as px of the picture that is drawn."""
        back = cv2.invertAffineTransform(transform)
        there = (points @ back[:, :2].T + back[:, 2] + 0.5) * self._scale
        return np.asarray(np.clip(there, -4000, 8000).round(), np.int32)


def largest_motion(signals: FaceSignals) -> Float32Array:
    """How far the region that moved most is from rest, float32 [T] in IOD; lids are left out, since blinks would hide
    all else. NaN where nothing is known.
    """
    rows = [
        [np.nan if value is None else value for value in row]
        for name, row in zip(signals.regions, signals.motion_iod, strict=True)
        if not name.startswith("lid")
    ]
    if not rows:
        return np.full(len(signals.times_s), np.nan, np.float32)
    motion = np.array(rows, np.float32)
    return np.asarray(np.where(np.isfinite(motion).any(axis=0), np.nan_to_num(motion, nan=-1.0).max(axis=0), np.nan))


def caption(event: Event) -> str:
    """The class and its confidence, or that it is withheld."""
    if event.abstained:
        return f"withheld ({event.confidence:.0%})"
    label = "".join(character if character.isprintable() else "?" for character in event.label[:24])
    sure = "> 99%" if 0.995 <= event.confidence < 1 else f"{event.confidence:.0%}"
    return f"{label} {sure}"


def slowed(events: Sequence[Event], time_s: float, slow: float) -> float:
    """When a frame of the clip is shown if events, and a little around them, play `slow` times slower."""
    shown_s = time_s
    for first, last in _stretches(events):
        shown_s += (slow - 1) * min(max(time_s - first, 0.0), last - first)
    return shown_s


def _stretches(events: Sequence[Event]) -> list[tuple[float, float]]:
    """From when to when events play, those that overlap as one, in order."""
    merged: list[tuple[float, float]] = []
    for first, last in sorted((event.onset_s - _AROUND_S, event.offset_s + _AROUND_S) for event in events):
        start = max(first, 0.0)
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((start, last))
    return merged


def _away(times_s: Sequence[float], at: int, time_s: float) -> float:
    return abs(times_s[at] - time_s) if 0 <= at < len(times_s) else float("inf")


def _colour(event: Event) -> Colour:
    return _OTHER if event.abstained else _CLASSES.get(event.label, _OTHER)


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))
