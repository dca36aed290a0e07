"""Messages of gRPC, from and to the values of this package; those of live streams are in `live_messages`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from glimpse.v1 import micro_expressions_pb2 as pb

from client.types import (
    ActionUnit,
    AnalyzeOptions,
    Clip,
    Event,
    Evidence,
    FaceSummary,
    ModelInfo,
    ModelRef,
    Progress,
    Quality,
    Report,
    ServerInfo,
    Warned,
)
from client.visuals import EventPictures, Extra, FaceCandidate, FaceSignals, Field, Matrix, Picture

FACES: Mapping[str, pb.FaceChoice.ValueType] = {"largest": pb.FACE_CHOICE_LARGEST, "all": pb.FACE_CHOICE_ALL}
DETAILS: Mapping[str, pb.Detail.ValueType] = {"full": pb.DETAIL_FULL, "minimal": pb.DETAIL_MINIMAL}
KINDS: Mapping[str, pb.EventKind.ValueType] = {"micro": pb.EVENT_KIND_MICRO, "macro": pb.EVENT_KIND_MACRO}
EXTRAS: Mapping[Extra, pb.Extra.ValueType] = {"signals": pb.EXTRA_SIGNALS, "pictures": pb.EXTRA_PICTURES}


class Enum(Protocol):
    """The type of an enumeration of protobuf."""

    def Name(self, number: Any) -> str:  # noqa: N802 - protobuf's name
        """The name of a value. Raises `ValueError`."""

    def keys(self) -> Any:
        """Every name; the first one is that of 0, which ends in UNSPECIFIED."""


def word(kind: Enum, number: int) -> Any:
    """A value of an enumeration as this package spells it, `unknown` for one of a newer service."""
    try:
        name = kind.Name(number)
    except ValueError:
        return "unknown"
    return name.removeprefix(kind.keys()[0].removesuffix("UNSPECIFIED")).lower()


def analyze_options(options: AnalyzeOptions) -> pb.AnalyzeOptions:
    """The first message of an analysis."""
    return pb.AnalyzeOptions(
        model=options.model or "",
        version=options.version or "",
        faces=FACES[options.faces],
        kinds=[KINDS[kind] for kind in sorted(options.kinds)],
        onset_s=options.onset_s,
        apex_s=options.apex_s,
        detail=DETAILS[options.detail],
        include=[EXTRAS[extra] for extra in sorted(options.include)],
    )


def progress(message: pb.Progress) -> Progress:
    """How far it is."""
    return Progress(message.stage, message.done, message.total)


def report(message: pb.Report) -> Report:
    """The same report as that of REST."""
    clip = message.clip
    return Report(
        id=message.id,
        clip=Clip(clip.duration_s, clip.frames, clip.fps, clip.width, clip.height, clip.codec),
        faces=tuple(
            FaceSummary(face.track_id, face.first_s, face.last_s, quality(face), evidence(face.evidence))
            for face in message.faces
        ),
        events=tuple(event(each) for each in message.events),
        model=model_ref(message.model),
        timings_ms=dict(message.timings_ms),
        warnings=tuple(Warned(warning.code, warning.message) for warning in message.warnings),
        detail="minimal" if message.detail == pb.DETAIL_MINIMAL else "full",
        notice=message.notice,
        signals=tuple(_signals(each) for each in message.signals),
    )


def _signals(message: pb.FaceSignals) -> FaceSignals:
    return FaceSignals(
        track_id=message.track_id,
        every=message.every,
        times_s=tuple(message.times_s),
        regions=tuple(each.region for each in message.regions),
        motion_iod=tuple(
            tuple(None if math.isnan(value) else value for value in each.motion_iod) for each in message.regions
        ),
        transforms=_matrices(message.transforms),
        candidates=tuple(
            FaceCandidate(
                kind=word(pb.EventKind, each.kind),
                onset_s=each.onset_s,
                apex_s=each.apex_s,
                offset_s=each.offset_s,
                peak_iod=each.peak_iod,
                regions=tuple(each.regions),
                outcome=word(pb.CandidateOutcome, each.outcome).replace("_", "-"),
                reason=word(pb.CandidateReason, each.reason).replace("_", "-") if each.reason else "",
            )
            for each in message.candidates
        ),
    )


def _matrices(numbers: Iterable[float]) -> tuple[Matrix, ...]:
    one = iter(numbers)
    return tuple(zip(one, one, one, one, one, one, strict=False))


def _pictures(message: pb.Event) -> EventPictures | None:
    if not message.HasField("pictures"):
        return None
    shown = message.pictures
    coordinates = iter(shown.landmarks)
    return EventPictures(
        onset=_picture(shown.onset),
        apex=_picture(shown.apex),
        u=_field(shown.u),
        v=_field(shown.v),
        strain=_field(shown.strain),
        course=tuple(_picture(picture) for picture in shown.course),
        course_s=tuple(shown.course_s),
        landmarks=tuple(zip(coordinates, coordinates, strict=False)),
    )


def _picture(message: pb.Picture) -> Picture:
    return Picture(message.width, message.height, message.gray)


def _field(message: pb.Field) -> Field:
    return Field(message.width, message.height, message.scale, message.values)


def quality(face: pb.FaceSummary | pb.LiveFace) -> Quality | None:
    """How well a face is seen, where that is told."""
    if not face.HasField("quality"):
        return None
    told = face.quality
    return Quality(told.iod_px, told.sharpness, told.yaw_deg, told.pitch_deg, told.roll_deg, told.inside)


def evidence(message: pb.Evidence) -> Evidence:
    """How far the picture supports an answer."""
    return Evidence(word(pb.Grade, message.grade), tuple(message.reasons))


def event(message: pb.Event) -> Event:
    """An expression with its class."""
    said = message.prediction
    return Event(
        label=said.label,
        probabilities=dict(said.probabilities),
        confidence=said.confidence,
        abstained=said.abstained,
        action_units=_action_units(said),
        track_id=message.track_id,
        kind=word(pb.EventKind, message.kind),
        onset_s=message.onset_s,
        apex_s=message.apex_s,
        offset_s=message.offset_s,
        onset_frame=message.onset_frame,
        apex_frame=message.apex_frame,
        offset_frame=message.offset_frame,
        regions=tuple(message.regions),
        evidence=evidence(message.evidence),
        pictures=_pictures(message),
    )


def _action_units(message: pb.Prediction) -> tuple[ActionUnit, ...]:
    return tuple(
        ActionUnit(unit.au, unit.intensity, word(pb.Side, unit.side), unit.confidence) for unit in message.action_units
    )


def model_ref(message: pb.Model) -> ModelRef:
    """Which model answered."""
    return ModelRef(message.name, message.version, message.recipe, message.backend)


def model_info(message: pb.ModelDescription) -> ModelInfo:
    """A model in the list."""
    return ModelInfo(
        name=message.name,
        versions=tuple(message.versions),
        recipe=message.recipe,
        labels=tuple(message.labels),
        backend=message.backend,
        servable=message.servable,
        reason=message.reason,
    )


def server_info(message: pb.GetServerInfoResponse) -> ServerInfo:
    """The limits."""
    return ServerInfo(
        version=message.version,
        default_model=message.default_model,
        max_message_bytes=message.max_message_bytes,
        max_clip_bytes=message.max_clip_bytes,
        max_clip_seconds=message.max_clip_seconds,
        max_clip_frames=message.max_clip_frames,
        max_frame_pixels=message.max_frame_pixels,
        max_faces=message.max_faces,
        max_live_streams=message.max_live_streams,
        live_streams=message.live_streams,
        max_live_frames_per_second=message.max_live_frames_per_second,
        live_frames_per_second=message.live_frames_per_second,
        live_idle_seconds=message.live_idle_seconds,
        live_buffer_frames=message.live_buffer_frames,
        frame_encodings=tuple(word(pb.FrameEncoding, encoding) for encoding in message.frame_encodings),
        codecs=tuple(message.codecs),
        notice=message.notice,
    )
