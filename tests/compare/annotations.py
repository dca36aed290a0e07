"""Annotations to compare, written short."""

from server.annotation.types import Annotation, CodedClip, CodedEvent
from server.report.unit_notation import CodedUnit


def coded(onset, apex, offset, label="positive", *, units=None, **changes):
    """One event; `units` are FACS numbers."""
    listed = None if units is None else tuple(CodedUnit(au) for au in units)
    return CodedEvent(onset, apex, offset, label, action_units=listed, **changes)


def annotation(source, **clips):
    """Of clips by name; each a list of events."""
    return Annotation(source, tuple(CodedClip(name, tuple(events)) for name, events in clips.items()))
