"""The first half of every analysis, of clips and of streams alike: frame by frame, who is there and how faces move.

A clip is a stream that is read from a file, each frame when the one before it is done. What differs comes afterwards:
a clip is spotted once it is known as a whole, a stream again and again over its last seconds, and forgets the rest.
"""

from __future__ import annotations

from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.faces.track import FaceTracker
from server.pipeline.facelog import FaceLog
from server.pipeline.measure import StageClock
from server.types import Frame, TrackedFace


class Following:
    """Up to `most` faces and the log of each, by track; `thorough` as for `FaceTracker`. `clock` is told what the faces
    and their motion take.
    """

    def __init__(
        self, detector: FaceDetector, landmarker: FaceLandmarker, clock: StageClock, *, most: int, thorough: bool
    ) -> None:
        self._tracker = FaceTracker(detector, landmarker, max_faces=most, thorough=thorough)
        self._clock = clock
        self.logs: dict[int, FaceLog] = {}

    def update(self, frame: Frame) -> list[TrackedFace]:
        """The faces of the next frame, each of which is in its log now."""
        with self._clock.time("faces"):
            faces = self._tracker.update(frame)
        with self._clock.time("spotting"):
            for face in faces:
                self.logs.setdefault(face.track_id, FaceLog(face.track_id)).add(frame, face)
        return faces

    def forget(self) -> None:
        """What comes is another scene: its faces are others."""
        self._tracker.forget()
        self.logs.clear()
