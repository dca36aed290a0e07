"""What of a report goes to the worker that draws it into its clip."""

from __future__ import annotations

from dataclasses import replace

from server.types import Event, Report
from server.visuals import EventPictures, Field, Picture


def places_alone(report: Report) -> Report:
    """The report without explanations and pictures: of the latter the landmarks alone are drawn, and need to travel."""
    return replace(report, events=[replace(each, explanation=None, pictures=_places(each)) for each in report.events])


def _places(event: Event) -> EventPictures | None:
    """The mesh of an event without its pictures."""
    if event.pictures is None:
        return None
    none, nowhere = Picture(0, 0, ""), Field(0, 0, 1.0, "")
    return EventPictures(none, none, nowhere, nowhere, nowhere, (), (), event.pictures.landmarks)
