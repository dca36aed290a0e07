"""What drawings say in words: times, classes, why an answer is withheld."""

from __future__ import annotations

from server.report.render.face_drawing import FACS_NAMES
from server.report.render.style import plain
from server.types import ActionUnit, Event, Report

_SIDES = {"left": "left", "right": "right", "both": "both sides"}
REASONS = {
    "blink": "blink",
    "cut": "cut",
    "head-turn": "head turn",
    "speech": "speech",
    "unsupported": "one region alone",
    "unmeasured": "not measurable",
    "kind": "not asked for",
}
"""Why a movement is no event, as short as a timeline needs it."""


def percent(share: float, digits: int = 0) -> str:
    """A share in percent, never rounded up to certainty."""
    text = f"{share:.{digits}%}"
    if share < 1 and text == f"{1:.{digits}%}":
        return f"> {1 - 10 ** -(digits + 2):.{digits}%}"
    return text


def caption(event: Event) -> str:
    """The class and its confidence, or that it is withheld."""
    if event.abstained:
        return f"withheld ({percent(event.confidence)})"
    return f"{plain(event.label, 24)} {percent(event.confidence)}"


def when(event: Event) -> str:
    """Times, frames and duration in one line."""
    moments = (
        f"{name} {time_s:.3f} s (frame {frame})"
        for name, time_s, frame in (
            ("onset", event.onset_s, event.onset_frame),
            ("apex", event.apex_s, event.apex_frame),
            ("offset", event.offset_s, event.offset_frame),
        )
    )
    return f"{', '.join(moments)}, duration {1000 * (event.offset_s - event.onset_s):.0f} ms"


def model_line(report: Report) -> str:
    """Model, version, recipe and backend."""
    model = report.model
    named = (plain(model.name, 40), "version", plain(model.version, 20))
    return f"{' '.join(named)} ({plain(model.recipe, 40)}, {plain(model.backend, 20)})"


def clip_line(report: Report) -> str:
    """What was analysed, and as which request."""
    clip = report.clip
    return (
        f"{clip.duration_s:.2f} s, {clip.frames} frames, {clip.fps:.1f} per second, {clip.width} x {clip.height} px, "
        f"{plain(clip.codec, 16)}; report {plain(report.id, 40)}"
    )


def unit_line(unit: ActionUnit) -> str:
    """One action unit."""
    name = FACS_NAMES.get(unit.au, "")
    return (
        f"AU {unit.au}{f' {name}' if name else ''}, {_SIDES[unit.side]}: {unit.intensity:.0%} of its full motion, "
        f"score {unit.confidence:.2f}"
    )


def verdict(event: Event, threshold: float | None) -> str:
    """Whether the answer stands, and what speaks against it."""
    reasons = "; ".join(plain(reason, 160) for reason in event.evidence.reasons[:6])
    grade = f"The evidence is {event.evidence.grade}{f': {reasons}' if reasons else ''}."
    if not event.abstained:
        return f"{grade} The answer stands: the confidence reaches what the model asks for."
    below = f" The model asks for at least {threshold:.0%}." if threshold is not None else ""
    return (
        f"The answer is withheld: the confidence, {event.confidence:.0%}, is too low or nothing moved enough, so the "
        f"label {plain(event.label, 24)} should not be used.{below} {grade}"
    )
