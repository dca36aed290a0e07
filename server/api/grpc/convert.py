"""Our types to messages of the interface; `requests.py` is the way back, and no other place knows both."""

from __future__ import annotations

from collections.abc import Sequence

from glimpse.v1 import micro_expressions_pb2 as pb

from server.api.facts import ServerFacts
from server.api.grpc import visuals
from server.documents import REPORT
from server.notice import NOTICE
from server.pipeline.base import LiveAnalyzer, OpenStream
from server.streams import (
    FRAME_ENCODINGS,
    Candidate,
    FrameDropped,
    FrameRefused,
    FrameResult,
    LiveEvent,
    LiveFace,
    Onset,
    StreamReply,
    StreamStats,
    Withdrawn,
)
from server.types import (
    ActionUnit,
    Event,
    Evidence,
    FaceQuality,
    ModelInfo,
    ModelRef,
    Prediction,
    Progress,
    Report,
)


def progress(done: Progress) -> pb.AnalyzeResponse:
    """How far an analysis is."""
    return pb.AnalyzeResponse(progress=pb.Progress(stage=done.stage, done=done.done, total=done.total))


def report(found: Report | dict[str, object]) -> pb.AnalyzeResponse:
    """The answer to a clip, also as the JSON-able mapping that an error carries."""
    if isinstance(found, dict):
        found = REPORT.validate_python(found)
    clip = found.clip
    return pb.AnalyzeResponse(
        report=pb.Report(
            id=found.id,
            clip=pb.Clip(
                duration_s=clip.duration_s,
                frames=clip.frames,
                fps=clip.fps,
                width=clip.width,
                height=clip.height,
                codec=clip.codec,
            ),
            faces=[
                pb.FaceSummary(
                    track_id=face.track_id,
                    first_s=face.first_s,
                    last_s=face.last_s,
                    quality=_quality(face.quality),
                    evidence=_evidence(face.evidence),
                )
                for face in found.faces
            ],
            events=[_event(event) for event in found.events],
            model=_model(found.model),
            timings_ms=found.timings_ms,
            warnings=[pb.Warning(code=warning.code, message=warning.message) for warning in found.warnings],
            detail=pb.Detail.Value(f"DETAIL_{found.detail.upper()}"),
            notice=found.notice,
            signals=[visuals.face_signals(each) for each in found.signals],
        )
    )


def opened(stream_id: str, stream: OpenStream) -> pb.LiveResponse:
    """The first answer of a live stream."""
    first = pb.StreamOpened(stream_id=stream_id, model=_model(stream.model), regions=stream.regions, notice=NOTICE)
    return pb.LiveResponse(opened=first)


def reply(told: StreamReply) -> pb.LiveResponse:
    """One answer of a live stream."""
    match told:
        case FrameResult(index, capture_us, time_s, faces, lag_s):
            seen = [_face(face) for face in faces]
            result = pb.FrameResult(
                frame_index=index, capture_time_us=capture_us, time_s=time_s, faces=seen, lag_s=lag_s
            )
            return pb.LiveResponse(frame_result=result)
        case FrameDropped(index, capture_us, reason):
            why = pb.DropReason.Value(f"DROP_REASON_{reason.upper()}")
            dropped = pb.FrameDropped(frame_index=index, capture_time_us=capture_us, reason=why)
            return pb.LiveResponse(frame_dropped=dropped)
        case FrameRefused(index, capture_us, code, message, goes_on):
            refused = pb.FrameRefused(
                frame_index=index, capture_time_us=capture_us, code=code, message=message, goes_on=goes_on
            )
            return pb.LiveResponse(frame_refused=refused)
        case StreamStats():
            return pb.LiveResponse(stats=_stats(told))
        case _:
            return _movement(told)


def _movement(told: Onset | Candidate | LiveEvent | Withdrawn) -> pb.LiveResponse:
    match told:
        case Onset(movement, track_id, onset_s, onset_frame):
            onset = pb.Onset(movement=movement, track_id=track_id, onset_s=onset_s, onset_frame=onset_frame)
            return pb.LiveResponse(onset=onset)
        case Candidate():
            candidate = pb.Candidate(
                movement=told.movement,
                track_id=told.track_id,
                onset_s=told.onset_s,
                apex_s=told.apex_s,
                onset_frame=told.onset_frame,
                apex_frame=told.apex_frame,
            )
            return pb.LiveResponse(candidate=candidate)
        case LiveEvent(movement, event):
            return pb.LiveResponse(event=pb.StreamEvent(movement=movement, event=_event(event)))
        case Withdrawn(movement, track_id, reason):
            why = pb.WithdrawReason.Value(f"WITHDRAW_REASON_{reason.upper().replace('-', '_')}")
            return pb.LiveResponse(withdrawn=pb.Withdrawn(movement=movement, track_id=track_id, reason=why))


def _stats(told: StreamStats) -> pb.StreamStats:
    return pb.StreamStats(
        received=told.received,
        analysed=told.analysed,
        dropped=told.dropped,
        refused=told.refused,
        events=told.events,
        withdrawn=told.withdrawn,
        duration_s=told.duration_s,
        lag_p50_s=told.lag_p50_s,
        lag_p99_s=told.lag_p99_s,
        model=_model(told.model),
    )


def models(listed: Sequence[ModelInfo]) -> pb.ListModelsResponse:
    """Every model."""
    return pb.ListModelsResponse(
        models=[
            pb.ModelDescription(
                name=info.name,
                versions=info.versions,
                recipe=info.recipe,
                labels=info.labels,
                backend=info.backend,
                servable=info.servable,
                reason=info.reason,
            )
            for info in listed
        ]
    )


def server_info(facts: ServerFacts, live: LiveAnalyzer) -> pb.GetServerInfoResponse:
    """Every limit, and how much of what live streams may take is taken."""
    bounds = live.bounds
    return pb.GetServerInfoResponse(
        version=facts.version,
        default_model=facts.default_model,
        max_message_bytes=facts.message_bytes,
        max_clip_bytes=facts.clip_bytes,
        max_clip_seconds=facts.clip_s,
        max_clip_frames=facts.clip_frames,
        max_frame_pixels=facts.frame_pixels,
        max_faces=facts.faces,
        max_live_streams=bounds.max_streams,
        live_streams=live.streams,
        max_live_frames_per_second=bounds.frames_per_s,
        live_frames_per_second=live.frames_per_s,
        live_idle_seconds=bounds.idle_s,
        live_buffer_frames=bounds.buffer_frames,
        frame_encodings=[pb.FrameEncoding.Value(f"FRAME_ENCODING_{name.upper()}") for name in FRAME_ENCODINGS],
        codecs=facts.codecs,
        notice=NOTICE,
    )


def _event(event: Event) -> pb.Event:
    prediction = Prediction(
        event.label, event.probabilities, event.confidence, event.abstained, tuple(event.action_units)
    )
    return pb.Event(
        track_id=event.track_id,
        kind=pb.EventKind.Value(f"EVENT_KIND_{event.kind.upper()}"),
        onset_s=event.onset_s,
        apex_s=event.apex_s,
        offset_s=event.offset_s,
        onset_frame=event.onset_frame,
        apex_frame=event.apex_frame,
        offset_frame=event.offset_frame,
        prediction=_prediction(prediction),
        regions=event.regions,
        evidence=_evidence(event.evidence),
        pictures=visuals.event_pictures(event.pictures),
    )


def _prediction(found: Prediction) -> pb.Prediction:
    return pb.Prediction(
        label=found.label,
        probabilities=found.probabilities,
        confidence=found.confidence,
        abstained=found.abstained,
        action_units=[_unit(unit) for unit in found.action_units],
    )


def _unit(unit: ActionUnit) -> pb.ActionUnit:
    side = pb.Side.Value(f"SIDE_{unit.side.upper()}")
    return pb.ActionUnit(au=unit.au, intensity=unit.intensity, side=side, confidence=unit.confidence)


def _evidence(evidence: Evidence) -> pb.Evidence:
    return pb.Evidence(grade=pb.Grade.Value(f"GRADE_{evidence.grade.upper()}"), reasons=evidence.reasons)


def _quality(quality: FaceQuality | None) -> pb.Quality | None:
    if quality is None:
        return None
    return pb.Quality(
        iod_px=quality.iod_px,
        sharpness=quality.sharpness,
        yaw_deg=quality.yaw_deg,
        pitch_deg=quality.pitch_deg,
        roll_deg=quality.roll_deg,
        inside=quality.inside,
    )


def _face(face: LiveFace) -> pb.LiveFace:
    return pb.LiveFace(
        track_id=face.track_id,
        state=pb.FaceState.Value(f"FACE_STATE_{face.state.upper()}"),
        eyes_px=[x for eye in face.eyes for x in eye],
        quality=_quality(face.quality),
        motion_iod=[x for pair in face.motion for x in pair],
    )


def _model(model: ModelRef) -> pb.Model:
    return pb.Model(name=model.name, version=model.version, recipe=model.recipe, backend=model.backend)
