"""What an annotation says: which expressions somebody saw in which clip, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from server.errors import InputError
from server.report.unit_notation import CodedUnit
from server.types import EventKind

TimeUnit: TypeAlias = Literal["seconds", "frames"]


class AnnotationError(InputError):
    """A file that is no annotation, or holds something that is none; the message names file and place."""

    code = "unreadable-annotation"
    title = "The annotation cannot be read"

    def __init__(self, message: str, *, file: str = "", place: str = "") -> None:
        where = ", ".join(part for part in (file, place) if part)
        super().__init__(f"{where}: {message}" if where else message, stage="annotation", file=file, place=place)


@dataclass(frozen=True, slots=True)
class CodedEvent:
    """One expression; times count from the first frame of the clip, in the unit of its `CodedClip`.

    `apex` None, `label` "", `kind` None and `action_units` None where they were not coded, which is something else than
    coding that no unit moved. `track_id` is the face, None where the annotation names none. `withheld` where a model
    abstained: `label` is what it would have said.
    """

    onset: float
    apex: float | None
    offset: float
    label: str = ""
    kind: EventKind | None = None
    track_id: int | None = None
    action_units: Sequence[CodedUnit] | None = None
    withheld: bool = False


@dataclass(frozen=True, slots=True)
class CodedClip:
    """The events of one clip. `name` as the annotation has it; `duration_s` and `fps` None where it does not say."""

    name: str
    events: Sequence[CodedEvent] = ()
    unit: TimeUnit = "seconds"
    duration_s: float | None = None
    fps: float | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """All that one file, or one folder of files, says."""

    source: str
    clips: Sequence[CodedClip]


@dataclass(frozen=True, slots=True)
class Reading:
    """What files do not say of themselves. `first_frame` is the number of a clip's first frame in coders' tables.

    `events_tier` is the tier of an ELAN document that holds the events; `class_tier`, `units_tier` and `apex_tier`
    those that say more of them. None where they need not be named: documents of ours, and of one tier.
    """

    first_frame: int = 1
    events_tier: str | None = None
    class_tier: str | None = None
    units_tier: str | None = None
    apex_tier: str | None = None


def checked_event(event: CodedEvent) -> CodedEvent:
    """The event itself. Raises `ValueError` for times that no expression has."""
    if event.onset < 0:
        raise ValueError(f"the onset ({event.onset:g}) lies before the first frame")
    if event.offset < event.onset:
        raise ValueError(f"the offset ({event.offset:g}) lies before the onset ({event.onset:g})")
    if event.apex is not None and not event.onset <= event.apex <= event.offset:
        raise ValueError(
            f"the apex ({event.apex:g}) lies outside onset to offset ({event.onset:g} to {event.offset:g})"
        )
    return event
