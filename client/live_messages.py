"""Messages of a live stream, from and to the values of this package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from glimpse.v1 import micro_expressions_pb2 as pb

from client.errors import ForeignAnswer
from client.live_types import (
    Candidate,
    Frame,
    FrameDropped,
    FrameRefused,
    FrameReply,
    FrameResult,
    LiveFace,
    MovementReply,
    Onset,
    StreamEvent,
    StreamOpened,
    StreamOptions,
    StreamStats,
    Withdrawn,
)
from client.messages import DETAILS, FACES, KINDS, event, model_ref, quality, word

_POLICIES: Mapping[str, pb.BufferPolicy.ValueType] = {
    "wait": pb.BUFFER_POLICY_WAIT,
    "drop_oldest": pb.BUFFER_POLICY_DROP_OLDEST,
    "drop_latest": pb.BUFFER_POLICY_DROP_LATEST,
}
_ENCODINGS: Mapping[str, pb.FrameEncoding.ValueType] = {
    "jpeg": pb.FRAME_ENCODING_JPEG,
    "png": pb.FRAME_ENCODING_PNG,
    "gray8": pb.FRAME_ENCODING_GRAY8,
    "bgr8": pb.FRAME_ENCODING_BGR8,
}


def options_request(options: StreamOptions) -> pb.LiveRequest:
    """The first message of a stream."""
    return pb.LiveRequest(
        options=pb.LiveOptions(
            model=options.model or "",
            version=options.version or "",
            faces=FACES[options.faces],
            kinds=[KINDS[kind] for kind in sorted(options.kinds)],
            policy=_POLICIES[options.policy],
            frame_rate=options.frame_rate,
            clock_zero_us=options.clock_zero_us,
            motion=options.motion,
            detail=DETAILS[options.detail],
        )
    )


def frame_request(index: int, frame: Frame) -> pb.LiveRequest:
    """A frame under its number."""
    return pb.LiveRequest(
        frame=pb.Frame(
            frame_index=index,
            capture_time_us=frame.capture_us,
            encoding=_ENCODINGS[frame.encoding],
            data=frame.data,
            width=frame.width,
            height=frame.height,
        )
    )


def opened(message: pb.StreamOpened) -> StreamOpened:
    """The stream is open."""
    return StreamOpened(message.stream_id, model_ref(message.model), tuple(message.regions), message.notice)


def reply(response: pb.LiveResponse) -> FrameReply | MovementReply | StreamStats:
    """Any answer but the first. Raises `ForeignAnswer` for one that is not known."""
    match response.WhichOneof("part"):
        case "frame_result":
            return _result(response.frame_result)
        case "frame_dropped":
            dropped = response.frame_dropped
            return FrameDropped(dropped.frame_index, dropped.capture_time_us, word(pb.DropReason, dropped.reason))
        case "frame_refused":
            refused = response.frame_refused
            return FrameRefused(
                refused.frame_index, refused.capture_time_us, refused.code, refused.message, refused.goes_on
            )
        case "stats":
            return _stats(response.stats)
        case other:
            return _movement(response, other)


def _movement(response: pb.LiveResponse, part: str | None) -> MovementReply:
    match part:
        case "onset":
            onset = response.onset
            return Onset(onset.movement, onset.track_id, onset.onset_s, onset.onset_frame)
        case "candidate":
            return _candidate(response.candidate)
        case "event":
            return StreamEvent(response.event.movement, event(response.event.event))
        case "withdrawn":
            withdrawn = response.withdrawn
            reason = word(pb.WithdrawReason, withdrawn.reason).replace("_", "-")
            return Withdrawn(withdrawn.movement, withdrawn.track_id, reason)
        case _:
            raise ForeignAnswer(f"the service sent an answer that this client does not know: {part}")


def _result(message: pb.FrameResult) -> FrameResult:
    return FrameResult(
        frame_index=message.frame_index,
        capture_us=message.capture_time_us,
        time_s=message.time_s,
        faces=tuple(
            LiveFace(
                track_id=face.track_id,
                state=word(pb.FaceState, face.state),
                eyes_px=_points(face.eyes_px),
                quality=quality(face),
                motion_iod=_points(face.motion_iod),
            )
            for face in message.faces
        ),
        lag_s=message.lag_s,
    )


def _points(numbers: Iterable[float]) -> tuple[tuple[float, float], ...]:
    values = iter(numbers)
    return tuple(zip(values, values, strict=False))


def _candidate(message: pb.Candidate) -> Candidate:
    return Candidate(
        movement=message.movement,
        track_id=message.track_id,
        onset_s=message.onset_s,
        apex_s=message.apex_s,
        onset_frame=message.onset_frame,
        apex_frame=message.apex_frame,
    )


def _stats(message: pb.StreamStats) -> StreamStats:
    return StreamStats(
        received=message.received,
        analysed=message.analysed,
        dropped=message.dropped,
        refused=message.refused,
        events=message.events,
        withdrawn=message.withdrawn,
        duration_s=message.duration_s,
        lag_p50_s=message.lag_p50_s,
        lag_p99_s=message.lag_p99_s,
    )
