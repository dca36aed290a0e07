"""Signals and pictures of a report to messages of the interface; pixels travel as they are there, not as text."""

from __future__ import annotations

import base64
import math

from glimpse.v1 import micro_expressions_pb2 as pb

from server.visuals import Candidate, EventPictures, FaceSignals, Field, Picture


def face_signals(told: FaceSignals) -> pb.FaceSignals:
    """The motion of one face."""
    return pb.FaceSignals(
        track_id=told.track_id,
        every=told.every,
        times_s=told.times_s,
        regions=[
            pb.RegionMotion(region=region, motion_iod=[math.nan if value is None else value for value in motion])
            for region, motion in zip(told.regions, told.motion_iod, strict=True)
        ],
        transforms=[number for matrix in told.transforms for number in matrix],
        candidates=[_candidate(candidate) for candidate in told.candidates],
    )


def event_pictures(shown: EventPictures | None) -> pb.EventPictures | None:
    """The pictures of one event, where there are any."""
    if shown is None:
        return None
    return pb.EventPictures(
        onset=_picture(shown.onset),
        apex=_picture(shown.apex),
        u=_field(shown.u),
        v=_field(shown.v),
        strain=_field(shown.strain),
        course=[_picture(picture) for picture in shown.course],
        course_s=shown.course_s,
        landmarks=[number for point in shown.landmarks for number in point],
    )


def _picture(picture: Picture) -> pb.Picture:
    return pb.Picture(width=picture.width, height=picture.height, gray=base64.b64decode(picture.gray))


def _field(field: Field) -> pb.Field:
    values = base64.b64decode(field.values)
    return pb.Field(width=field.width, height=field.height, scale=field.scale, values=values)


def _candidate(candidate: Candidate) -> pb.FaceCandidate:
    outcome, reason = (name.upper().replace("-", "_") for name in (candidate.outcome, candidate.reason))
    return pb.FaceCandidate(
        kind=pb.EventKind.Value(f"EVENT_KIND_{candidate.kind.upper()}"),
        onset_s=candidate.onset_s,
        apex_s=candidate.apex_s,
        offset_s=candidate.offset_s,
        peak_iod=candidate.peak_iod,
        regions=candidate.regions,
        outcome=pb.CandidateOutcome.Value(f"CANDIDATE_OUTCOME_{outcome}"),
        reason=pb.CandidateReason.Value(f"CANDIDATE_REASON_{reason or 'UNSPECIFIED'}"),
    )
