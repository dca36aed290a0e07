"""The systems that `bench.long_videos` compares, each from the bytes of a video to the events that it finds."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import av
import cv2
import numpy as np

from bench.mdmd import Course, course, intervals, small
from server.faces.align import warp
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.faces.track import FaceTracker
from server.media.decode import open_clip
from server.media.limits import MediaLimits
from server.pipeline.facelog import GAP_S
from server.pipeline.jobs import ClipJob
from server.pipeline.live_jobs import LiveOpen
from server.pipeline.live_measuring import at_once
from server.pipeline.live_session import LiveSession
from server.pipeline.stages import Stages
from server.streams import FrameRefused, LiveFrame, StreamOptions
from server.types import EventKind, Interval, UInt8Array

Encoding: TypeAlias = Literal["gray8", "jpeg"]
KINDS: tuple[EventKind, ...] = ("micro", "macro")

_LIMITS = MediaLimits(clip_seconds=3600, clip_frames=500_000, frame_pixels=1 << 22)
_RECIPE = ("flow_uvs_28", "accurate")
"""Those of the default model. Each event is measured for it, as in the service; nothing is classified."""
_MAX_FACES = 16
_STORE_BYTES = 64 << 20
_JPEG_QUALITY = 90
_FEWEST = 16


def offline(video: bytes) -> list[dict[str, Any]]:
    """Events of the whole clip, by the stages of a worker process."""
    recipe, flow = _RECIPE
    job = ClipJob(video, _LIMITS, recipe, flow, "largest", _MAX_FACES, frozenset(KINDS), None, None)
    found = Stages()(job, lambda progress: None)
    return [_event(each.interval) for each in found.findings]  # type: ignore[union-attr]


def live(video: bytes, encoding: Encoding = "gray8") -> list[dict[str, Any]]:
    """Events that a live stream of the video is told of, frame by frame; candidates and withdrawn ones do not count."""
    recipe, flow = _RECIPE
    opened = LiveOpen(StreamOptions(), _LIMITS, recipe, flow, _MAX_FACES, _STORE_BYTES)
    session = LiveSession(FaceDetector(), FaceLandmarker(), opened, run=at_once)
    events = []
    for frame in _live_frames(video, encoding):
        looked = session.push(frame)
        if isinstance(looked.answer, FrameRefused):
            message = f"frame {frame.index} was refused: {looked.answer.message}"
            raise SystemExit(message)
        events += [_event(told.interval) for told in looked.told if told.step == "event"]
    session.end()
    return sorted(events, key=lambda event: event["onset_s"])


def mdmd_courses(video: bytes) -> list[Course]:
    """What MDMD sees of the largest face, micro and macro, for each stretch in which it is in view."""
    tracker = FaceTracker(FaceDetector(), FaceLandmarker(), max_faces=1)
    crops: list[UInt8Array] = []
    times: list[float] = []
    for frame in open_clip(video, _LIMITS):
        for face in tracker.update(frame)[:1]:
            crops.append(small(warp(frame.luma, face.transform)))
            times.append(frame.time_s)
    cuts = [0, *(np.flatnonzero(np.diff(times) > GAP_S) + 1).tolist(), len(crops)]
    return [
        course(crops[start:stop], np.array(times[start:stop]), kind)
        for start, stop in pairwise(cuts)
        if stop - start >= _FEWEST
        for kind in KINDS
    ]


def mdmd(courses: list[Course], p: float) -> list[dict[str, Any]]:
    """Events of both kinds at threshold `p`, in order of onset."""
    return sorted((each for seen in courses for each in intervals(seen, p)), key=lambda event: event["onset_s"])


def _event(interval: Interval) -> dict[str, Any]:
    times = {name: round(getattr(interval, name), 4) for name in ("onset_s", "apex_s", "offset_s")}
    return {**times, "kind": interval.kind}


def _live_frames(video: bytes, encoding: Encoding) -> Iterator[LiveFrame]:
    with av.open(io.BytesIO(video)) as container:
        for index, picture in enumerate(container.decode(video=0)):
            capture_us = round(float(picture.time or 0) * 1e6)
            if encoding == "gray8":
                gray = picture.to_ndarray(format="gray")
                height, width = gray.shape
                yield LiveFrame(index, capture_us, "gray8", gray.tobytes(), width, height)
            else:
                colour = picture.to_ndarray(format="bgr24")
                _, packed = cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
                yield LiveFrame(index, capture_us, "jpeg", packed.tobytes())
