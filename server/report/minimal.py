"""Reports without anything that measures a face: times, labels, action units and grades are left (docs/privacy.md)."""

from __future__ import annotations

from dataclasses import replace

from server.types import Classification, Event, Evidence, FaceSummary, Report, ReportWarning

_KEPT = frozenset(
    {
        "clip-short",
        "clip-truncated",
        "face-lost",
        "frames-corrupt",
        "frames-out-of-order",
        "mllm-weak",
        "movement-unmeasured",
        "resolution-changed",
        "speech",
    }
)
"""Warnings whose text holds times and numbers of frames at most; of others only the code is told."""
_LEFT_OUT = "left out of a minimal report"


def minimal_report(report: Report) -> Report:
    """The same answer without size, pose and sharpness of faces, their motion and pictures, and reasons of grades."""
    return replace(
        report,
        faces=tuple(_face(face) for face in report.faces),
        events=tuple(minimal_event(event) for event in report.events),
        warnings=tuple(_warning(warning) for warning in report.warnings),
        detail="minimal",
        signals=(),
    )


def minimal_classification(answer: Classification) -> Classification:
    """The same of two pictures."""
    warnings = tuple(_warning(warning) for warning in answer.warnings)
    return replace(answer, evidence=_evidence(answer.evidence), warnings=warnings, detail="minimal")


def minimal_event(event: Event) -> Event:
    """The same of one movement."""
    return replace(event, regions=(), evidence=_evidence(event.evidence), pictures=None, explanation=None)


def _face(face: FaceSummary) -> FaceSummary:
    return replace(face, quality=None, evidence=_evidence(face.evidence))


def _evidence(evidence: Evidence) -> Evidence:
    return Evidence(evidence.grade)


def _warning(warning: ReportWarning) -> ReportWarning:
    return warning if warning.code in _KEPT else replace(warning, message=_LEFT_OUT)
