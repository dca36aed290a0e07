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
from server.pipeline.pacing import Pacing
from server.types import Frame, TrackedFace

_OLD_S = 10.0
_YOUNG_S = 1.0
_QUIET_S = 0.5
_MISFIT_IOD = 0.006
"""Points that fit an anchor of the same pose are a third of this apart; those of a turned head are not."""


class Following:
    """Up to `most` faces and the log of each, by track; `thorough` and `prefer_larger` as for `FaceTracker`. `clock` is
    told what the faces and their motion take.
    """

    def __init__(
        self,
        detector: FaceDetector,
        landmarker: FaceLandmarker,
        clock: StageClock,
        *,
        most: int,
        thorough: bool,
        prefer_larger: bool = False,
    ) -> None:
        self._tracker = FaceTracker(
            detector, landmarker, max_faces=most, thorough=thorough, prefer_larger=prefer_larger
        )
        self._clock = clock
        self._pacing = Pacing()
        self._anchored: dict[int, tuple[int, float]] = {}
        self.logs: dict[int, FaceLog] = {}

    @property
    def replaced(self) -> frozenset[int]:
        """Who gave their place to a larger face with the last frame."""
        return self._tracker.replaced

    def update(self, frame: Frame, *, behind: bool = False) -> list[TrackedFace] | None:
        """The faces of the next frame, each of which is in its log now; None where it is looked at with a later one, as
        every second one of a stream that is `behind`.
        """
        look = self._pacing.take(frame, behind=behind)
        if look is None:
            return None
        with self._clock.time("faces"):
            faces = self._tracker.update(look.frame)
        with self._clock.time("spotting"):
            for face in faces:
                log = self.logs.setdefault(face.track_id, FaceLog(face.track_id))
                log.add(look, face)
                if self._may_renew(face, frame.time_s) and log.quiet_s >= _QUIET_S:
                    self._tracker.renew(face.track_id)
        return faces

    def _may_renew(self, face: TrackedFace, time_s: float) -> bool:
        """Whether the anchor of a face is old, or was taken of a head that was turned or a mouth that was open."""
        anchor, since_s = self._anchored.get(face.track_id, (0, time_s))
        if anchor != face.anchor_id:
            since_s = time_s
        self._anchored[face.track_id] = face.anchor_id, since_s
        age_s = time_s - since_s
        return age_s > _OLD_S or (age_s > _YOUNG_S and face.residual_iod > _MISFIT_IOD)

    def forget(self) -> None:
        """What comes is another scene: its faces are others."""
        self._pacing.forget()
        self._tracker.forget()
        self._anchored.clear()
        self.logs.clear()

    def let_go(self, track_id: int) -> None:
        """Nothing of this face is wanted any more; it will not come back under its name."""
        del self.logs[track_id], self._anchored[track_id]
