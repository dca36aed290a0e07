"""The stages in their order, as they run inside one worker process: bytes to the inputs of a network.

Two passes over the clip. The first, forward, follows the faces and logs their regional motion, from which movements
are spotted; the second fetches the few frames around each onset and apex and measures their dense flow. Nothing else
of the pictures is kept, so memory does not grow with the clip.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from server.errors import FaceError, FaceLost, NoFace
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.flow.estimate import forget_pictures
from server.media.decode import ClipDecoder, open_clip, probe
from server.media.image import read_image
from server.pipeline.annotating import annotate
from server.pipeline.caveats import absences, evidence_of, poor, spoken, unmeasured
from server.pipeline.event_frames import EventFrames
from server.pipeline.event_pictures import MOST_EVENTS, course_frames, left_out
from server.pipeline.explaining import Occluder
from server.pipeline.face_signals import face_signals
from server.pipeline.facelog import FaceLog
from server.pipeline.following import Following
from server.pipeline.jobs import AnnotateJob, ClipFindings, ClipJob, Finding, PairFindings, PairJob
from server.pipeline.measure import Measurer, StageClock
from server.pipeline.second_pass import SecondPass
from server.pipeline.shadow_inputs import ShadowMaker
from server.recipes.registry import RECIPES
from server.secrecy import return_freed_memory, wipe
from server.spotting.given import given
from server.spotting.intervals import moved, spot
from server.spotting.signal import displacement_between
from server.types import Interval, Progress, ReportWarning
from server.visuals import CandidateOutcome, FaceSignals

OnProgress = Callable[[Progress], None]

FIRST_PASS, SECOND_PASS = "first pass", "second pass"
_REPORT_EVERY = 25
_RIVALS = 4
"""Faces followed in order to tell which is the largest."""
_OVERLAP_SHARE = 0.1


class Stages:
    """Everything that touches pixels. Built once in each worker; holds the face networks and nothing of any clip."""

    def __init__(self) -> None:
        self._detector = FaceDetector()
        self._landmarker = FaceLandmarker()
        self._measurer = Measurer(self._detector, self._landmarker)

    def __call__(
        self, job: ClipJob | PairJob | AnnotateJob, on_progress: OnProgress
    ) -> ClipFindings | PairFindings | bytes:
        """Run one job, and wipe what it brought. Raises any `InputError`."""
        try:
            match job:
                case AnnotateJob():
                    return annotate(job, on_progress)
                case PairJob():
                    return self._pair(job, on_progress)
                case _:
                    return self._clip(job, on_progress)
        finally:
            wipe(*((job.onset, job.apex) if isinstance(job, PairJob) else (job.data,)))

    def rest(self) -> None:
        """Between jobs, hold nothing of the last one: pictures in a cycle would stay until some later clip."""
        forget_pictures()
        gc.collect()
        return_freed_memory()

    def _clip(self, job: ClipJob, on_progress: OnProgress) -> ClipFindings:
        clock = StageClock()
        # Said before it begins, so that a file on which the decoder stays is known for what it is.
        on_progress(Progress("decode", 0, 1))
        expected = probe(job.data, job.limits).frames
        decoder = open_clip(job.data, job.limits)
        on_progress(Progress("decode", 1, 1))
        with clock.part(FIRST_PASS):
            logs = self._follow(decoder, job, clock, lambda done: on_progress(Progress("faces", done, expected)))
        clip = decoder.info
        seen = frozenset[int]().union(*(log.frames for log in logs))
        if not logs:
            damaged = f"; {decoder.damaged} more were damaged" if decoder.damaged else ""
            message = f"no face was found in any of the {clip.frames} frames{damaged}"
            raise NoFace(message, stage="faces", frames=clip.frames, damaged_frames=decoder.damaged)
        on_progress(Progress("spotting", 0, len(logs)))
        with clock.time("spotting"):
            spotted = _spotted(logs, job, clip.duration_s)
            movements = [(log, interval) for log, interval in spotted if job.given or interval.kind in job.kinds]
            speech = [] if job.given else spoken(logs)
        shadow = ShadowMaker(job.shadow, job.recipe, job.flow)
        with clock.part(SECOND_PASS):
            findings, warnings = self._measure(decoder, movements, job, clock, on_progress, shadow=shadow)
        if "pictures" in job.include:
            warnings += left_out([finding.pictures for finding in findings])
        faces = tuple(log.summary(clip.fps) for log in logs)
        return ClipFindings(
            clip=clip,
            faces=faces,
            findings=tuple(findings),
            coverage=len(seen) / clip.frames,
            last_face_s=max(log.last_s for log in logs),
            warnings=(*decoder.warnings, *warnings, *absences(logs, clip.duration_s), *speech, *poor(faces, clip)),
            timings_s=dict(clock.seconds),
            shadow_s=shadow.seconds,
            timeline=clock.timeline,
            signals=_signals(logs, spotted, findings, job) if "signals" in job.include else (),
        )

    def _follow(
        self, decoder: ClipDecoder, job: ClipJob, clock: StageClock, on_frame: Callable[[int], None]
    ) -> list[FaceLog]:
        """First pass: a log for each face that the job is about."""
        everyone = job.faces == "all"
        most = job.max_faces if everyone else min(job.max_faces, _RIVALS)
        following = Following(self._detector, self._landmarker, clock, most=most, thorough=everyone)
        frames = iter(decoder)
        while True:
            with clock.time("decode"):
                frame = next(frames, None)
            if frame is None:
                break
            following.update(frame)
            if frame.index % _REPORT_EVERY == 0:
                on_frame(frame.index)
        logs = following.logs
        chosen = list(logs.values()) if everyone else _largest(logs.values())
        return sorted(chosen, key=lambda log: log.track_id)

    def _measure(
        self,
        decoder: ClipDecoder,
        movements: list[tuple[FaceLog, Interval]],
        job: ClipJob,
        clock: StageClock,
        on_progress: OnProgress,
        *,
        shadow: ShadowMaker,
    ) -> tuple[list[Finding], list[ReportWarning]]:
        """Second pass: dense flow of each movement, holding only the frames of those that are under way.

        A spotted movement between whose onset and apex the head turns away cannot be measured: that costs a warning,
        not the others. One that the caller pointed at is an error.
        """
        fps = decoder.info.fps
        recipe = RECIPES[job.recipe]
        plans = [
            EventFrames.of(log, each, recipe.times_s(each.onset_s, each.offset_s), shadow.times_s(each))
            for log, each in movements
        ]
        if "pictures" in job.include:
            plans.sort(key=lambda plan: plan.interval.onset_s)
            first = plans[:MOST_EVENTS]
            plans[:MOST_EVENTS] = [replace(plan, shown=course_frames(plan.log, plan.interval)) for plan in first]
        plans.sort(key=lambda plan: plan.last)
        pictures = SecondPass(decoder, plans)
        findings: list[Finding] = []
        warnings: list[ReportWarning] = []
        occluder = Occluder(job.explain, job.recipe, len(plans))
        for number, plan in enumerate(plans):
            on_progress(Progress("flow", number, len(plans)))
            with clock.time("decode"):
                pictures.forward_to(plan)
            try:
                found = self._measurer.movement(plan, pictures, (job.recipe, job.flow), fps, clock)
            except FaceError:
                if job.given:
                    raise
                warnings.append(unmeasured(plan.log.track_id, plan.interval))
                continue
            onset, *_ = pictures.there(plan.onset)
            align = partial(self._measurer.align, onset, near=plan.near)
            second = shadow.make(found.measured.sample, align, pictures.there(plan.shadow), plan.shadow_times_s)
            measured = (found.measured.inputs, found.measured.contraction)
            seen, occlusion = None, None
            if plan.shown:
                with clock.time("pictures"):
                    seen = self._measurer.pictures(plan, pictures, found.measured.sample)
            if occluder.wanted:
                with clock.time("explanation"):
                    occlusion = occluder.make(found.measured.sample, found.measured.contraction)
            what = (plan.log.track_id, plan.interval, found.evidence, found.still)
            findings.append(Finding(*what, *measured, second, seen, occlusion))
        return sorted(findings, key=lambda finding: (finding.interval.onset_s, finding.track_id)), warnings

    def _pair(self, job: PairJob, on_progress: OnProgress) -> PairFindings:
        clock = StageClock()
        on_progress(Progress("decode", 0, 2))
        with clock.time("decode"):
            onset, apex = read_image(job.onset, job.limits), replace(read_image(job.apex, job.limits), index=1)
        on_progress(Progress("faces", 0, 2))
        try:
            measured = self._measurer.measure([onset], [apex], (job.recipe, job.flow), clock)
        except NoFace:
            raise NoFace("no face was found in the onset picture", stage="faces", picture="onset") from None
        except FaceLost:
            message = "the face of the onset picture was not found in the apex picture"
            raise FaceLost(message, stage="faces", picture="apex") from None
        aligned = measured.aligned
        with clock.time("spotting"):
            still = not moved(displacement_between(aligned.anchor, aligned.crops[0], aligned.landmarks_crop))
        evidence = evidence_of(aligned, float("inf"), still=still)
        shadow = ShadowMaker(job.shadow, job.recipe, job.flow)
        second = shadow.make(measured.sample, partial(self._measurer.align, onset))
        answer = (measured.inputs, measured.contraction, evidence, still, dict(clock.seconds))
        return PairFindings(*answer, second, shadow.seconds, clock.timeline)


def _largest(logs: Iterable[FaceLog]) -> list[FaceLog]:
    """The one face of which there is most to see, and those that were there only when it was not: somebody who comes
    back after a while has a new identity.
    """
    chosen: list[FaceLog] = []
    for log in sorted(logs, key=lambda log: -log.weight):
        taken = frozenset[int]().union(*(other.frames for other in chosen))
        if len(log.frames & taken) <= _OVERLAP_SHARE * len(log):
            chosen.append(log)
    return chosen


def _spotted(logs: list[FaceLog], job: ClipJob, duration_s: float) -> list[tuple[FaceLog, Interval]]:
    """Every movement, of whatever kind."""
    if job.given:
        return [(log, given(log.signal(), job.onset_s, job.apex_s, duration_s)) for log in _in_view(logs, job)]
    return [(log, interval) for log in logs for signal in log.signals() for interval in spot(signal)]


def _signals(
    logs: list[FaceLog], spotted: list[tuple[FaceLog, Interval]], findings: list[Finding], job: ClipJob
) -> tuple[FaceSignals, ...]:
    """The signals of each face, with what became of what was spotted in it."""
    reported = {(finding.track_id, finding.interval) for finding in findings}
    told = []
    for log in logs:
        outcomes: dict[CandidateOutcome, list[Interval]] = {"reported": [], "withdrawn": [], "other-kind": []}
        for owner, interval in spotted:
            if owner is log:
                wanted = job.given or interval.kind in job.kinds
                found = (log.track_id, interval) in reported
                outcomes["reported" if found else "withdrawn" if wanted else "other-kind"].append(interval)
        told.append(face_signals(log, *outcomes.values()))
    return tuple(told)


def _in_view(logs: list[FaceLog], job: ClipJob) -> list[FaceLog]:
    """The faces that a given time concerns: those in view then, so that one passer-by does not fail the others."""
    times = [t for t in (job.onset_s, job.apex_s) if t is not None]
    there = [log for log in logs if all(log.sees(t) for t in times)]
    return there or logs[:1]
