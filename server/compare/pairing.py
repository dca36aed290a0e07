"""Which clip of one annotation is which of the other, and their times in one unit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from server.annotation.types import Annotation, AnnotationError, CodedClip

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")
_SUBJECT = re.compile(r"(?:subject|sub|s)?[_-]?0*([0-9]+)")
_DEEPEST = 16
_Known: TypeAlias = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class ClipPair:
    """One clip as both have it, in seconds; the side that does not name it has no events."""

    name: str
    machine: CodedClip
    human: CodedClip
    fps: float | None
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class Pairing:
    """The clips, and what the reader must know of how they were paired."""

    pairs: Sequence[ClipPair]
    notes: Sequence[str] = ()


def pair_clips(
    machine: Annotation,
    human: Annotation,
    *,
    fps: float | None = None,
    duration_s: float | None = None,
    common: bool = False,
) -> Pairing:
    """The clips of both by name: without folders and suffix where that is clear, else with as many folders as needed.

    Where each has one clip, they are taken for the same. `fps` and `duration_s` count before what the annotations say.
    With `common`, clips that one alone names are left out; else the other one saw nothing in them.

    Raises `AnnotationError` for two clips of one name, and for frames without a frame rate.
    """
    ours, theirs, known = machine.clips, human.clips, (fps, duration_s)
    if len(ours) == len(theirs) == 1:
        notes = []
        if _key(ours[0].name, 1) != _key(theirs[0].name, 1):
            notes.append(
                f"{ours[0].name or machine.source} and {theirs[0].name or human.source} are taken for one clip"
            )
        return Pairing((_pair(ours[0].name or theirs[0].name, ours[0], theirs[0], known),), tuple(notes))
    depth = next((n for n in range(1, _DEEPEST) if _distinct(ours, n) and _distinct(theirs, n)), _DEEPEST)
    by_key = [_by_key(annotation, depth) for annotation in (machine, human)]
    notes = []
    for annotation, one, other in ((machine, by_key[0], by_key[1]), (human, by_key[1], by_key[0])):
        alone = [clip.name for key, clip in one.items() if key not in other]
        if alone:
            fate = "left out" if common else "the other has no event there"
            listed = ", ".join(alone[:5]) + (" ..." if len(alone) > 5 else "")
            notes.append(f"only {annotation.source} names {len(alone)} of the clips ({fate}): {listed}")
    keys = [key for key in {**by_key[0], **by_key[1]} if not common or (key in by_key[0] and key in by_key[1])]
    pairs = []
    for key in keys:
        found = [clips.get(key) for clips in by_key]
        name = next(clip.name for clip in found if clip is not None)
        left, right = (clip or CodedClip(name) for clip in found)
        pairs.append(_pair(name, left, right, known))
    return Pairing(tuple(pairs), tuple(notes))


def _pair(name: str, machine: CodedClip, human: CodedClip, known: _Known) -> ClipPair:
    rate = known[0] or machine.fps or human.fps
    duration = known[1] or machine.duration_s or human.duration_s
    return ClipPair(name, _in_seconds(machine, rate), _in_seconds(human, rate), rate, duration)


def _in_seconds(clip: CodedClip, fps: float | None) -> CodedClip:
    if clip.unit == "seconds":
        return clip
    if fps is None:
        raise AnnotationError(f"the times of {clip.name or 'the clip'} are frames; give the frame rate (--fps)")
    events = tuple(
        replace(
            event,
            onset=event.onset / fps,
            apex=None if event.apex is None else event.apex / fps,
            offset=event.offset / fps,
        )
        for event in clip.events
    )
    return replace(clip, events=events, unit="seconds")


def _key(name: str, depth: int) -> tuple[str, ...]:
    """The last `depth` parts of a path; of the folders, `sub01` is the same as `1`, as coding sheets have it."""
    *folders, file = [
        part for part in name.replace("\\", "/").casefold().split("/") if part not in {"", ".", ".."}
    ] or [""]
    parts = [match[1] if (match := _SUBJECT.fullmatch(part)) else part for part in folders]
    return (*parts, _SUFFIX.sub("", file))[-depth:]


def _distinct(clips: Sequence[CodedClip], depth: int) -> bool:
    return len({_key(clip.name, depth) for clip in clips}) == len(clips)


def _by_key(annotation: Annotation, depth: int) -> Mapping[tuple[str, ...], CodedClip]:
    found: dict[tuple[str, ...], CodedClip] = {}
    for clip in annotation.clips:
        key = _key(clip.name, depth)
        if key in found:
            raise AnnotationError(f"two clips are called {clip.name!r}", file=annotation.source)
        found[key] = clip
    return found
