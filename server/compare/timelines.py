"""What two annotations say of each frame of a clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from server.annotation.types import AnnotationError, CodedEvent
from server.compare.classes import class_of
from server.compare.pairing import ClipPair

NONE = "none"
"""The class of a frame in which nobody sees an expression."""
_MOST_FRAMES = 50_000_000


def frame_table(pair: ClipPair) -> tuple[Counter[tuple[str, str]], str]:
    """How often the machine had the first class in a frame and the human the second; or an empty table and why.

    Frames lie at k / fps; one belongs to an event from that nearest to its onset to that nearest to its offset, both
    included, and where two events of one annotation overlap, to that which began first. Faces are looked at one by one
    where both annotations name the face of each event, else all together. Raises `AnnotationError` for a clip of more
    frames than can be counted.
    """
    if pair.fps is None:
        return Counter(), "the frame rate is not known (--fps)"
    if pair.duration_s is None:
        return Counter(), "the length of the clip is not known (--duration-s)"
    ours, theirs = pair.machine.events, pair.human.events
    last = max((event.offset for event in (*ours, *theirs)), default=0.0)
    frames = max(round(pair.duration_s * pair.fps), round(last * pair.fps) + 1)
    if frames > _MOST_FRAMES:
        raise AnnotationError(f"{pair.name or 'the clip'} has more frames than can be counted ({frames})")
    tracks = {event.track_id for event in (*ours, *theirs)}
    faces = sorted(track for track in tracks if track is not None)
    table: Counter[tuple[str, str]] = Counter()
    for face in faces if faces and None not in tracks else [None]:
        names = [NONE]
        lines = [_line(_of(events, face), names, frames, pair.fps) for events in (ours, theirs)]
        both, counts = np.unique(lines[0] * len(names) + lines[1], return_counts=True)
        for code, count in zip(both.tolist(), counts.tolist(), strict=True):
            table[names[code // len(names)], names[code % len(names)]] += count
    return table, ""


def _of(events: Sequence[CodedEvent], face: int | None) -> Sequence[CodedEvent]:
    return [event for event in events if face is None or event.track_id == face]


def _line(events: Sequence[CodedEvent], names: list[str], frames: int, fps: float) -> npt.NDArray[np.int64]:
    """The place in `names` of the class of each frame; names that are new are appended."""
    line = np.zeros(frames, np.int64)
    for event in sorted(events, key=lambda e: (e.onset, e.offset), reverse=True):
        name = class_of(event)
        if name not in names:
            names.append(name)
        line[round(event.onset * fps) : round(event.offset * fps) + 1] = names.index(name)
    return line
