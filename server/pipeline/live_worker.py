"""What answers the jobs of live streams inside a worker process: one stream at a time."""

from __future__ import annotations

import sys

from server.errors import WorkerCrashed
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.pipeline.live_jobs import LiveClose, LiveOpen, LivePush, LiveRehearse, Looked, Told
from server.pipeline.live_session import LiveSession
from server.pipeline.rehearsal import frame_cost_s
from server.pipeline.stages import OnProgress

_SWITCH_S = 0.001
"""How long the thread that measures movements may keep the one that looks at pictures from Python; the default is 5 ms,
a frame of a fast camera, and a picture needs its turn more than once.
"""


class LiveStages:
    """Built once in each worker of live streams; holds the face networks, and one stream while it is open."""

    def __init__(self) -> None:
        sys.setswitchinterval(_SWITCH_S)
        self._detector = FaceDetector()
        self._landmarker = FaceLandmarker()
        self._session: LiveSession | None = None

    def __call__(
        self, job: LiveOpen | LivePush | LiveClose | LiveRehearse, on_progress: OnProgress
    ) -> tuple[Looked, ...] | tuple[Told, ...] | float:
        """Answer one job: pictures by what was seen in each, the end by what ended with it, a rehearsal by seconds."""
        if isinstance(job, LiveRehearse):
            return frame_cost_s(self._detector, self._landmarker)
        if isinstance(job, LiveOpen):
            self._session = LiveSession(self._detector, self._landmarker, job)
            return ()
        if self._session is None:
            raise WorkerCrashed("no stream is open", stage="live")
        if isinstance(job, LivePush):
            *waiting, newest = job.frames
            behind_s = (newest.capture_us - job.frames[0].capture_us) / 1e6
            return (*(self._session.push(x, behind_s=behind_s) for x in waiting), self._session.push(newest))
        session, self._session = self._session, None
        return session.end()
