"""Reports as JSON documents: what nobody asked for is left out of them, rather than empty."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.main import IncEx

from server.types import Event, Report

REPORT: TypeAdapter[Report] = TypeAdapter(Report)

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_OF_EVENTS = ("pictures", "explanation")


def report_json(report: Report) -> bytes:
    """The report as it is sent."""
    return REPORT.dump_json(report, exclude=_unasked(report))


def report_dict(report: Report) -> dict[str, Any]:
    """The same as plain, JSON-able data."""
    plain: dict[str, Any] = REPORT.dump_python(report, exclude=_unasked(report))
    return plain


def event_dict(event: Event) -> dict[str, Any]:
    """One event of a stream as plain, JSON-able data."""
    plain: dict[str, Any] = _EVENT.dump_python(event, exclude=_unasked_of(event))
    return plain


def _unasked_of(event: Event) -> set[str]:
    return {name for name in _OF_EVENTS if getattr(event, name) is None}


def _unasked(report: Report) -> IncEx:
    """The places that are empty because nobody asked for what belongs there."""
    of_events: dict[int, IncEx | bool] = {number: _unasked_of(event) for number, event in enumerate(report.events)}
    unasked: dict[str, IncEx | bool] = {"events": of_events}
    if not report.signals:
        unasked["signals"] = True
    return unasked
