"""The stages in their order, as they run inside one worker process: bytes to the inputs of a network.

Two passes over the clip. The first, forward, follows the faces and logs their regional motion, from which movements
are spotted; the second fetches the few frames around each onset and apex and measures their dense flow. Nothing else
of the pictures is kept, so memory does not grow with the clip.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from server.errors import NoFace
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.faces.pair import align_to
from server.faces.quality import grade
from server.faces.track import FaceTracker
from server.flow.derive import flow_field
from server.flow.estimate import estimate
from server.media.decode import ClipDecoder, open_clip, probe
from server.media.image import read_image
from server.pipeline.facelog import FaceLog
from server.pipeline.jobs import ClipFindings, ClipJob, Finding, PairFindings, PairJob
from server.recipes.registry import RECIPES
from server.spotting.given import given
from server.spotting.intervals import spot
from server.types import EventSample, Evidence, Float32Array, Frame, Interval, Progress, ReportWarning

OnProgress = Callable[[Progress], None]

_REPORT_EVERY = 25
_AVERAGE_S = 0.008
"""Frames within this of the onset and of the apex are averaged: the face stands still there, the noise does not."""
_HELD_BYTES = 64 * 2**20
_LOST_S = 0.5
_WEAK_SCORE = 0.25


class StageClock:
    """Seconds spent in each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the duration of the block to `stage`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - start


class Stages:
    """Everything that touches pixels. Built once in each worker; holds the face networks and nothing of any clip."""

    def __init__(self) -> None:
        self._detector = FaceDetector()
        self._landmarker = FaceLandmarker()

    def __call__(self, job: ClipJob | PairJob, on_progress: OnProgress) -> ClipFindings | PairFindings:
        """Run one job. Raises any `InputError`."""
        return self._pair(job) if isinstance(job, PairJob) else self._clip(job, on_progress)

    def _clip(self, job: ClipJob, on_progress: OnProgress) -> ClipFindings:
        clock = StageClock()
        expected = probe(job.data, job.limits).frames
        decoder = open_clip(job.data, job.limits)
        logs, seen = self._follow(decoder, job, clock, lambda done: on_progress(Progress("faces", done, expected)))
        clip = decoder.info
        if not logs:
            raise NoFace(f"no face was found in any of the {clip.frames} frames", stage="faces", frames=clip.frames)
        on_progress(Progress("spotting", 0, len(logs)))
        with clock.time("spotting"):
            movements = _movements(logs, job, clip.duration_s)
        findings = self._measure(decoder, movements, job, clock, on_progress)
        return ClipFindings(
            clip=clip,
            faces=tuple(log.summary() for log in logs),
            findings=tuple(findings),
            coverage=seen / clip.frames,
            last_face_s=max(log.last_s for log in logs),
            warnings=(*decoder.warnings, *_absences(logs, clip.duration_s)),
            timings_s=dict(clock.seconds),
        )

    def _follow(
        self, decoder: ClipDecoder, job: ClipJob, clock: StageClock, on_frame: Callable[[int], None]
    ) -> tuple[list[FaceLog], int]:
        """First pass: a log for each face, and the number of frames with one."""
        most = 1 if job.faces == "largest" else job.max_faces
        tracker = FaceTracker(self._detector, self._landmarker, max_faces=most)
        logs: dict[int, FaceLog] = {}
        seen = 0
        frames = iter(decoder)
        while True:
            with clock.time("decode"):
                frame = next(frames, None)
            if frame is None:
                break
            with clock.time("faces"):
                faces = tracker.update(frame)
            with clock.time("spotting"):
                for face in faces:
                    logs.setdefault(face.track_id, FaceLog(face.track_id)).add(frame, face)
            seen += bool(faces)
            if frame.index % _REPORT_EVERY == 0:
                on_frame(frame.index)
        return sorted(logs.values(), key=lambda log: log.track_id), seen

    def _measure(
        self,
        decoder: ClipDecoder,
        movements: list[tuple[FaceLog, Interval]],
        job: ClipJob,
        clock: StageClock,
        on_progress: OnProgress,
    ) -> list[Finding]:
        """Second pass: dense flow of each movement, a few movements at a time so that few frames are held."""
        clip = decoder.info
        reach = round(_AVERAGE_S * clip.fps)
        frame_bytes = clip.width * clip.height * 3 // 2 * 2 * (2 * reach + 1)
        at_once = max(1, _HELD_BYTES // max(frame_bytes, 1))
        findings: list[Finding] = []
        for first in range(0, len(movements), at_once):
            on_progress(Progress("flow", first, len(movements)))
            part = movements[first : first + at_once]
            wanted = {
                frame
                for log, interval in part
                for centre in (interval.onset_frame, interval.apex_frame)
                for frame in log.neighbours(centre, reach)
            }
            with clock.time("decode"):
                frames = decoder.frames_at(sorted(wanted))
            for log, interval in part:
                onset = [frames[i] for i in log.neighbours(interval.onset_frame, reach)]
                apex = [frames[i] for i in log.neighbours(interval.apex_frame, reach)]
                inputs = self._inputs(onset, apex, job, clock, near=log.transform_at(interval.onset_frame))
                findings.append(Finding(log.track_id, interval, _evidence(log, interval, clip.fps), inputs))
        return findings

    def _inputs(
        self,
        onset: list[Frame],
        apex: list[Frame],
        job: ClipJob | PairJob,
        clock: StageClock,
        near: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None = None,
    ) -> Mapping[str, Float32Array]:
        with clock.time("faces"):
            aligned = align_to(onset[0], [*onset[1:], *apex], self._landmarker, self._detector, near=near)
        crops = [aligned.anchor, *aligned.crops]
        first, last = (_mean([crop.gray for crop in part]) for part in (crops[: len(onset)], crops[len(onset) :]))
        with clock.time("flow"):
            flow = flow_field(*estimate(first, last, job.flow))
        with clock.time("recipes"):
            return RECIPES[job.recipe].make(EventSample(first, last, aligned.landmarks_crop, flow))

    def _pair(self, job: PairJob) -> PairFindings:
        clock = StageClock()
        with clock.time("decode"):
            onset, apex = (read_image(data, job.limits) for data in (job.onset, job.apex))
        inputs = self._inputs([onset], [apex], job, clock)
        return PairFindings(inputs=inputs, evidence=Evidence("good"), timings_s=dict(clock.seconds))


def _mean(pictures: list[Float32Array]) -> Float32Array:
    return np.asarray(np.mean(pictures, axis=0), dtype=np.float32)


def _movements(logs: list[FaceLog], job: ClipJob, duration_s: float) -> list[tuple[FaceLog, Interval]]:
    if job.onset_s is not None or job.apex_s is not None:
        return [(log, given(log.signal(), job.onset_s, job.apex_s, duration_s)) for log in _in_view(logs, job)]
    return [
        (log, interval)
        for log in logs
        for signal in log.signals()
        for interval in spot(signal)
        if interval.kind in job.kinds
    ]


def _in_view(logs: list[FaceLog], job: ClipJob) -> list[FaceLog]:
    """The faces that a given time concerns: those in view then, so that one passer-by does not fail the others."""
    times = [t for t in (job.onset_s, job.apex_s) if t is not None]
    there = [log for log in logs if all(log.first_s <= t <= log.last_s for t in times)]
    return there or logs[:1]


def _absences(logs: list[FaceLog], duration_s: float) -> list[ReportWarning]:
    warnings = []
    for log in logs:
        if duration_s - log.last_s > _LOST_S:
            message = f"face {log.track_id} was last seen at {log.last_s:.2f} s of {duration_s:.2f} s"
            warnings.append(ReportWarning("face-lost", message))
    return warnings


def _evidence(log: FaceLog, interval: Interval, fps: float) -> Evidence:
    evidence = grade(log.quality(), fps)
    if interval.score >= _WEAK_SCORE:
        return evidence
    reason = f"the movement, {interval.peak_iod:.3f} of the eye distance, barely stands out"
    return Evidence("poor" if evidence.grade == "poor" else "fair", (*evidence.reasons, reason))
