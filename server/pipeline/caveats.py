"""What a reader must be told about the pictures: grades with reasons, and warnings."""

from __future__ import annotations

from server.faces.pair import AlignedSet
from server.faces.quality import grade
from server.pipeline.facelog import UNSTEADY_IOD, FaceLog
from server.spotting.speech import speaking
from server.types import ClipInfo, Evidence, FaceSummary, Interval, ReportWarning

_LOST_S = 0.5
_WEAK_SCORE = 0.25
_SHORT_S = 0.15
_LISTED = 5


def absences(logs: list[FaceLog], duration_s: float) -> list[ReportWarning]:
    """A warning for each stretch in which a face that had been there was out of view; the time before it came is not
    one.
    """
    return [
        ReportWarning("face-lost", f"face {log.track_id} was out of view from {gone:.2f} s to {back:.2f} s")
        for log in logs
        for gone, back in log.absences(_LOST_S, duration_s)
    ]


def spoken(logs: list[FaceLog]) -> list[ReportWarning]:
    """A warning for each face that spoke: an expression of the mouth alone would have been missed then."""
    warnings = []
    for log in logs:
        spans = [span for signal in log.signals() for span in speaking(signal)]
        if spans:
            total = sum(stop - start for start, stop in spans)
            when = ", ".join(f"{start:.2f} to {stop:.2f} s" for start, stop in spans[:_LISTED])
            more = f" and {len(spans) - _LISTED} times more" if len(spans) > _LISTED else ""
            message = (
                f"face {log.track_id} seemed to speak for {total:.1f} s ({when}{more}): "
                "movements of the mouth alone were not taken for expressions then"
            )
            warnings.append(ReportWarning("speech", message))
    return warnings


def unmeasured(track_id: int, interval: Interval) -> ReportWarning:
    """A warning for a movement during which the head turned away."""
    when = f"{interval.onset_s:.2f} s to {interval.offset_s:.2f} s"
    message = f"face {track_id} moved from {when}, but the head turned too far to tell an expression"
    return ReportWarning("movement-unmeasured", message)


def poor(faces: tuple[FaceSummary, ...], clip: ClipInfo) -> list[ReportWarning]:
    """Without these, "no event" in a clip that cannot show one would look like an answer."""
    warnings = [
        ReportWarning("evidence-poor", f"face {face.track_id}: {'; '.join(face.evidence.reasons)}")
        for face in faces
        if face.evidence.grade == "poor"
    ]
    if clip.duration_s < _SHORT_S:
        message = f"the clip lasts {clip.duration_s:.2f} s; even a fast expression takes {_SHORT_S:g} s"
        warnings.append(ReportWarning("clip-short", message))
    return warnings


def evidence_of(aligned: AlignedSet, fps: float, *, still: bool, interval: Interval | None = None) -> Evidence:
    """How far the pictures of one movement support a class; `fps` is infinite for stills."""
    evidence = grade(aligned.quality, fps)
    if still:
        return Evidence("poor", ("nothing moved between onset and apex", *evidence.reasons))
    doubts = []
    if interval is not None and interval.score < _WEAK_SCORE:
        doubts.append(f"the movement, {interval.peak_iod:.3f} of the eye distance, barely stands out")
    if max(aligned.residuals_iod) > UNSTEADY_IOD:
        doubts.append("the head turned between onset and apex")
    if not doubts:
        return evidence
    return Evidence("poor" if evidence.grade == "poor" else "fair", (*evidence.reasons, *doubts))
