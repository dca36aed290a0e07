"""Reads our JSON and JSON Lines: reports, tables of events, and the truth beside rendered clips."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.annotation.texts import decoded, frame_rate
from server.annotation.types import AnnotationError, CodedClip, CodedEvent, Reading, checked_event
from server.report.unit_notation import CodedUnit
from server.types import EventKind, Side

_CONFIG = ConfigDict(frozen=True, allow_inf_nan=False, strict=True, extra="ignore")
_NAME_MEMBERS = ("file", "path", "clip")


M = TypeVar("M", bound=BaseModel)


class _Unit(BaseModel):
    model_config = _CONFIG

    au: int = Field(ge=1, le=99)
    side: Side = "both"


class _Event(BaseModel):
    model_config = _CONFIG

    onset_s: float
    apex_s: float | None = None
    offset_s: float
    onset_frame: int | None = None
    offset_frame: int | None = None
    label: str = ""
    kind: EventKind | None = None
    track_id: int | None = None
    abstained: bool = False
    action_units: list[_Unit] | None = None

    def coded(self) -> CodedEvent:
        units = self.action_units
        return checked_event(
            CodedEvent(
                onset=self.onset_s,
                apex=self.apex_s,
                offset=self.offset_s,
                label=self.label,
                kind=self.kind,
                track_id=self.track_id,
                action_units=None if units is None else tuple(CodedUnit(unit.au, unit.side) for unit in units),
                withheld=self.abstained,
            )
        )


class _Facts(BaseModel):
    model_config = _CONFIG

    duration_s: float | None = Field(default=None, gt=0)
    fps: float | None = Field(default=None, gt=0)


def read_json(data: bytes, file: str, _: Reading) -> Sequence[CodedClip]:
    """The clips of one report, or of a list of reports. Raises `AnnotationError` naming the member that is wrong."""
    document = _parsed(decoded(data, file), file, "")
    reports = document if isinstance(document, list) else [document]
    return tuple(_report(one, file, f"report {n}" if len(reports) > 1 else "") for n, one in enumerate(reports, 1))


def read_json_lines(data: bytes, file: str, _: Reading) -> Sequence[CodedClip]:
    """The clips of reports, or of events, one a line. Raises `AnnotationError` naming the line.

    Lines of events tell nothing of clips without any.
    """
    clips: list[CodedClip] = []
    rows: dict[str, list[_Event]] = {}
    # splitlines() would also break at separators that JSON allows within a text.
    for number, line in enumerate(decoded(data, file).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"row {number}"
        document = _parsed(line, file, place)
        if isinstance(document, dict) and "events" in document:
            clips.append(_report(document, file, place))
        else:
            rows.setdefault(_name(document), []).append(_event(document, file, place))
    for name, events in rows.items():
        pairs = [(event.offset_frame, event.offset_s) for event in events if event.offset_frame is not None]
        clips.append(CodedClip(name, tuple(event.coded() for event in events), fps=frame_rate(pairs)))
    return tuple(clips)


def _parsed(text: str, file: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else f"it is no JSON: {error}"
        raise AnnotationError(reason, file=file, place=place) from None


def _report(document: Any, file: str, place: str) -> CodedClip:
    if not isinstance(document, dict) or not isinstance(document.get("events"), list):
        raise AnnotationError("a report is an object with a list of events", file=file, place=place)
    facts = _checked(_Facts, document["clip"] if isinstance(document.get("clip"), dict) else document, file, place)
    events = []
    for number, event in enumerate(document["events"], start=1):
        where = ", ".join(part for part in (place, f"event {number}") if part)
        events.append(_event(event, file, where).coded())
    return CodedClip(_name(document), tuple(events), duration_s=facts.duration_s, fps=facts.fps)


def _name(document: Any) -> str:
    if not isinstance(document, Mapping):
        return ""
    return next((document[key] for key in _NAME_MEMBERS if isinstance(document.get(key), str)), "")


def _event(document: Any, file: str, place: str) -> _Event:
    event = _checked(_Event, document, file, place)
    try:
        event.coded()
    except ValueError as error:
        raise AnnotationError(str(error), file=file, place=place) from None
    return event


def _checked(kind: type[M], document: Any, file: str, place: str) -> M:
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        member = ".".join(map(str, first["loc"]))
        raise AnnotationError(f"{member}: {first['msg']}" if member else first["msg"], file=file, place=place) from None
