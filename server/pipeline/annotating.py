"""The clip of a report with what the report says burnt in, as it runs inside one worker process."""

from __future__ import annotations

from collections.abc import Callable

from server.media.decode import open_clip, probe
from server.media.encode import ClipWriter
from server.pipeline.jobs import AnnotateJob
from server.report.overlay import Overlay, slowed
from server.spotting.signal import REGION_LANDMARKS
from server.types import Progress

STAGE = "annotation"
_REPORT_EVERY = 10


def annotate(job: AnnotateJob, on_progress: Callable[[Progress], None]) -> bytes:
    """H.264 in MP4, a frame for each of the clip, at the same time where nothing is slowed down.

    One pass: frames are decoded, drawn on and encoded one after the other, so memory does not grow with them but for
    what is encoded. Raises any `MediaError`, `LimitExceeded`, and `InputError` for a clip that becomes too large.
    """
    on_progress(Progress(STAGE, 0, 1))
    size = probe(job.data, job.limits)
    overlay = Overlay(job.report, size.width, size.height, REGION_LANDMARKS)
    clip = job.report.clip
    writer = ClipWriter(*overlay.size, fps=clip.fps, frames=clip.frames)
    for frame in open_clip(job.data, job.limits):
        drawn = overlay.draw(frame.rgb(), frame.index, frame.time_s)
        writer.add(drawn, slowed(job.report.events, frame.time_s, job.slow))
        if frame.index % _REPORT_EVERY == 0:
            on_progress(Progress(STAGE, frame.index, clip.frames))
    return writer.finish()
