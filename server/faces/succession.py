"""Who follows the largest face of a scene: a much larger one, once it has been there for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.faces.align import crop_transform
from server.faces.identity import within_reach
from server.types import Face, Float64Array

LARGER = 1.5
"""How much wider the eyes of a face are that takes the place of another: less, and two people would take turns."""
_STAY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Rival:
    """A larger face: where it was when last looked for, and since when it is there."""

    place: Float64Array
    since_s: float


class Succession:
    """The larger faces of one stream that are not followed yet."""

    def __init__(self) -> None:
        self._rivals: tuple[_Rival, ...] = ()
        self._looked_s = 0.0

    def heir(self, larger: Sequence[Face], time_s: float) -> Face | None:
        """The first of the `larger` faces of this frame that has been there for a second; None as long as none has.

        One that is missing in one look is forgotten.
        """
        rivals = tuple(self._known(crop_transform(face.landmarks), time_s) for face in larger)
        heirs = [face for face, rival in zip(larger, rivals, strict=True) if time_s - rival.since_s >= _STAY_S]
        self._rivals, self._looked_s = () if heirs else rivals, time_s
        return heirs[0] if heirs else None

    def _known(self, place: Float64Array, time_s: float) -> _Rival:
        gap_s = time_s - self._looked_s
        known = [rival.since_s for rival in self._rivals if within_reach(rival.place, gap_s, place)]
        return _Rival(place, min(known, default=time_s))
