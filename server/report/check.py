"""What must hold of a report that somebody sends before it is drawn: counts, lengths and sizes of numbers.

A report of this service keeps all of it with a wide margin.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized

from server.errors import InputError
from server.types import Event, Report
from server.visuals import Candidate, FaceSignals

_STAGE = "report"
MOST_EVENTS = 10_000
_MOST_FACES, _MOST_REGIONS, _MOST_TIMES, _MOST_CANDIDATES = 256, 64, 20_000, 10_000
_MOST_LISTED, _MOST_TEXT = 200, 4096
_LARGEST = 1e9
_MOST_MATRIX = 1e6


def check_report(report: Report) -> None:
    """Raise `InputError` for a report that says more, or larger things, than a report can."""
    _few(report.events, MOST_EVENTS, "events")
    _few(report.faces, _MOST_FACES, "faces")
    _few(report.signals, _MOST_FACES, "signals")
    _few(report.warnings, MOST_EVENTS, "warnings")
    _few(report.timings_ms, _MOST_LISTED, "timings_ms")
    clip, model = report.clip, report.model
    numbers = (clip.duration_s, clip.frames, clip.fps, clip.width, clip.height, *report.timings_ms.values())
    _numbers(numbers, "clip")
    _texts((report.id, report.notice, clip.codec, *report.timings_ms), "report")
    _texts((model.name, model.version, model.recipe, model.backend), "model")
    for warning in report.warnings:
        _texts((warning.code, warning.message), "warnings")
    for face in report.faces:
        _numbers((face.track_id, face.first_s, face.last_s), "faces")
        _texts(face.evidence.reasons, "faces")
    # A table has a column for each of them, in the row of every event.
    _few({label for event in report.events for label in event.probabilities}, _MOST_LISTED, "labels of events")
    for number, event in enumerate(report.events):
        _check_event(event, f"events.{number}")
    for number, signals in enumerate(report.signals):
        _check_signals(signals, f"signals.{number}")


def _check_event(event: Event, name: str) -> None:
    frames = (event.onset_frame, event.apex_frame, event.offset_frame)
    _numbers((event.track_id, event.onset_s, event.apex_s, event.offset_s, *frames), name)
    for listed in (event.probabilities, event.regions, event.action_units, event.evidence.reasons):
        _few(listed, _MOST_LISTED, name)
    units = ((unit.au, unit.intensity, unit.confidence) for unit in event.action_units)
    _numbers((value for unit in units for value in unit), f"{name}.action_units")
    shares = (event.confidence, *event.probabilities.values())
    if not all(-1e-3 <= share <= 1 + 1e-3 for share in shares):
        raise InputError(f"{name}: confidence and probabilities must be 0 to 1", stage=_STAGE)
    _texts((event.label, *event.probabilities, *event.regions, *event.evidence.reasons), name)
    if event.pictures is not None:
        points = event.pictures.landmarks
        _few(points, 1000, f"{name}.pictures.landmarks")
        _few(event.pictures.course, 256, f"{name}.pictures.course")
        _numbers((value for point in points for value in point), f"{name}.pictures.landmarks")
    if event.explanation is not None:
        parts = (*event.explanation.regions, *event.explanation.action_units)
        _few(parts, _MOST_LISTED, f"{name}.explanation")
        _numbers((event.explanation.probability, *(part.drop for part in parts)), f"{name}.explanation")
        _texts((event.explanation.label, *(part.name for part in parts)), f"{name}.explanation")


def _check_signals(signals: FaceSignals, name: str) -> None:
    _few(signals.regions, _MOST_REGIONS, f"{name}.regions")
    _few(signals.times_s, _MOST_TIMES, f"{name}.times_s")
    _few(signals.candidates, _MOST_CANDIDATES, f"{name}.candidates")
    _texts(signals.regions, name)
    _numbers((signals.track_id, *signals.times_s), name)
    if any(later < earlier for earlier, later in zip(signals.times_s, signals.times_s[1:], strict=False)):
        raise InputError(f"{name}: times_s go back", stage=_STAGE)
    count = len(signals.times_s)
    if not signals.regions:
        raise InputError(f"{name}: regions are missing", stage=_STAGE)
    if len(signals.motion_iod) != len(signals.regions) or any(len(row) != count for row in signals.motion_iod):
        raise InputError(f"{name}: motion_iod must have a row for each region and a number for each time", stage=_STAGE)
    for row in signals.motion_iod:
        _numbers((value for value in row if value is not None), f"{name}.motion_iod")
    if len(signals.transforms) != count:
        raise InputError(f"{name}: there must be a transform for each time", stage=_STAGE)
    _numbers((value for matrix in signals.transforms for value in matrix), f"{name}.transforms", most=_MOST_MATRIX)
    _numbers(_moments(signals.candidates), f"{name}.candidates")


def _moments(candidates: Iterable[Candidate]) -> Iterator[float]:
    for each in candidates:
        yield from (each.onset_s, each.apex_s, each.offset_s, each.peak_iod)


def _few(listed: Sized, most: int, name: str) -> None:
    if len(listed) > most:
        raise InputError(f"{name}: more than {most}", stage=_STAGE)


def _numbers(values: Iterable[float], name: str, *, most: float = _LARGEST) -> None:
    if not all(-most <= value <= most for value in values):
        raise InputError(f"{name}: a number that is not finite, or too large", stage=_STAGE)


def _texts(texts: Iterable[str], name: str) -> None:
    if any(len(text) > _MOST_TEXT for text in texts):
        raise InputError(f"{name}: a text of more than {_MOST_TEXT} characters", stage=_STAGE)
