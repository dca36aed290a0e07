"""Follows every face through a clip: one identity each, one anchor for as long as it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from server.faces.align import apply as apply_transform
from server.faces.align import crop_transform, inside_share, invert, iod_of
from server.faces.anchor import correlation, is_lost, locate, make_anchor, normalised
from server.faces.detect import FaceDetector
from server.faces.find import find_faces
from server.faces.followed import Track, advanced, velocity_of, wants_anchor
from server.faces.identity import (
    MIN_LIKENESS,
    Reunion,
    cheapest,
    distance_iod,
    moved,
    reunion_cost,
    similar_size,
    within_reach,
)
from server.faces.landmarks import FaceLandmarker
from server.faces.quality import assess
from server.faces.succession import LARGER, Succession
from server.types import Face, Float64Array, Frame, TrackedFace

MEMORY_S = 1.0
"""How long a face that is out of sight keeps its identity."""
_RETRY_S = 0.1
_EMPTY_RETRY_S = 0.5
_QUALITY_EVERY_S = 0.2
_VELOCITY_TRUST = 0.7
_SAME_PLACE_IOD = 0.6
_OVERLAP_IOD = 2.5
_PATIENCE_S = 0.3
_MIN_INSIDE = 0.5


class FaceTracker:
    """Faces of consecutive frames, with lasting identities. One per clip or stream; not thread-safe."""

    def __init__(
        self,
        detector: FaceDetector,
        landmarker: FaceLandmarker,
        *,
        max_faces: int,
        detect_interval_s: float = 1.0,
        thorough: bool = True,
        prefer_larger: bool = False,
    ) -> None:
        """`detect_interval_s` is how often new faces are looked for while others are in view; `thorough` looks for
        small ones too, which costs far more than to look for those as large as the ones in view. With `prefer_larger`
        a face gives its place to one that is half as large again and stays, but to no other while it is out of sight
        for a moment.
        """
        self._detector = detector
        self._landmarker = landmarker
        self._max_faces = max_faces
        self._interval_s = detect_interval_s
        self._thorough = thorough
        self._prefer_larger = prefer_larger
        self.reset()

    def reset(self) -> None:
        """Forget every face and start identities anew."""
        self._next_track = 1
        self._next_anchor = 1
        self.forget()

    def forget(self) -> None:
        """Forget every face; those that come have identities of their own."""
        self._live: list[Track] = []
        self._lost: list[Track] = []
        self._due: set[int] = set()
        self._succession = Succession()
        self._replaced = frozenset[int]()
        self._detect_s = -np.inf

    @property
    def replaced(self) -> frozenset[int]:
        """Who gave their place to a larger face with the last frame; they do not come back under their names."""
        return self._replaced

    def renew(self, track_id: int) -> None:
        """Take the anchor of a face anew with the next frame: it is at rest, and the anchor is old or fits badly."""
        self._due.add(track_id)

    def update(self, frame: Frame) -> list[TrackedFace]:
        """Faces in `frame`, ordered by `track_id`. Frames must come in order of time."""
        before, self._replaced = len(self._live), frozenset()
        self._lost = [track for track in self._lost if frame.time_s - track.time_s <= MEMORY_S]
        self._follow_all(frame)
        if len(self._live) < before or frame.time_s >= self._detect_s:
            if len(self._live) < self._max_faces:
                self._detect(frame)
            else:
                self._give_way(frame)
            self._detect_s = frame.time_s + self._wait_s()
        self._live.sort(key=lambda track: track.track_id)
        return [track.public() for track in self._live]

    def _follow_all(self, frame: Frame) -> None:
        kept: list[Track] = []
        for track in self._live:
            followed = self._follow(track, frame)
            rival = followed and next((k for k in kept if _same_place(k.transform, followed.transform)), None)
            if followed is None or (rival and rival.correlation >= followed.correlation):
                self._lost.append(track)
                continue
            if rival:
                # Two identities on one face: it belongs to the one that it looks like.
                kept.remove(rival)
                self._lost.append(next(each for each in self._live if each.track_id == rival.track_id))
            kept.append(followed)
        self._live = kept

    def _follow(self, track: Track, frame: Frame) -> Track | None:
        elapsed_s = frame.time_s - track.time_s
        guess = moved(track.transform, track.velocity * elapsed_s * _VELOCITY_TRUST)
        fit = locate(track.anchor, frame.luma, guess)
        if fit and not self._visible(fit.transform, frame):
            return None
        if fit is None or is_lost(fit):
            return self._recover(track, frame)
        step = advanced(track, fit, frame.time_s)
        due = track.track_id in self._due
        if due or wants_anchor(step, fit):
            self._due.discard(track.track_id)
            return self._recover(step, frame, anew=due) or step
        if frame.time_s - step.quality_s >= _QUALITY_EVERY_S:
            quality = assess(frame.luma, step.transform, step.anchor.landmarks_crop)
            step = replace(step, quality=quality, quality_s=frame.time_s)
        return step

    def _visible(self, transform: Float64Array, frame: Frame) -> bool:
        height, width = frame.luma.shape
        return inside_share(transform, width, height) >= _MIN_INSIDE

    def _recover(self, track: Track, frame: Frame, *, anew: bool = False) -> Track | None:
        """The face from landmarks taken anew where it was last; None when another face or none is there."""
        landmarks = apply_transform(invert(track.transform), track.anchor.landmarks_crop).astype(np.float32)
        face = self._landmarker.landmarks_near(frame.rgb(), landmarks)
        if face is None:
            return None
        place = crop_transform(face.landmarks)
        if not (
            similar_size(track.transform, place)
            and distance_iod(track.transform, place) < 1
            and correlation(track.anchor.template, normalised(frame.luma, place)) >= MIN_LIKENESS
            and self._visible(place, frame)
        ):
            return None
        return self._resume(track, face, frame, anew=anew)

    def _resume(self, track: Track, face: Face, frame: Frame, *, anew: bool = False) -> Track:
        """A face that was found again: under its old anchor where that fits, so that its crops stay comparable; unless
        that is wanted `anew`.
        """
        place = crop_transform(face.landmarks)
        fit = None if anew else locate(track.anchor, frame.luma, place)
        if fit and not is_lost(fit):
            step = advanced(track, fit, frame.time_s)
            if not wants_anchor(step, fit):
                return step
        started = self._start(track.track_id, face, frame)
        return replace(started, velocity=velocity_of(track, started.transform, frame.time_s))

    def _detect(self, frame: Frame) -> None:
        thorough = self._thorough and bool(self._live)
        found = find_faces(frame.rgb(), self._detector, self._landmarker, thorough=thorough)
        new = [face for face in found if self._is_new(face, frame)]
        matches = self._match([crop_transform(face.landmarks) for face in new], frame)
        # Faces that come back go first, then the largest, until all places are taken.
        for position in sorted(range(len(new)), key=lambda position: position not in matches):
            if len(self._live) >= self._max_faces:
                break
            if position in matches:
                self._live.append(self._resume(self._lost[matches[position]], new[position], frame))
            elif not self._must_wait(crop_transform(new[position].landmarks), frame.time_s):
                self._live.append(self._start(self._new_id(), new[position], frame))
        live = {track.track_id for track in self._live}
        self._lost = [track for track in self._lost if track.track_id not in live]

    def _give_way(self, frame: Frame) -> None:
        """All places are taken: the smallest face gives its own to one that is much larger and stays."""
        smallest = min(self._live, key=lambda track: iod_of(track.transform))
        least_px = LARGER * iod_of(smallest.transform)
        found = find_faces(frame.rgb(), self._detector, self._landmarker, least_iod_px=least_px)
        heir = self._succession.heir([face for face in found if self._is_new(face, frame)], frame.time_s)
        if heir is not None:
            self._live.remove(smallest)
            self._replaced = frozenset({smallest.track_id})
            self._live.append(self._start(self._new_id(), heir, frame))

    def _is_new(self, face: Face, frame: Frame) -> bool:
        place = crop_transform(face.landmarks)
        known = any(_same_place(place, track.transform) for track in self._live)
        return self._visible(place, frame) and not known

    def _must_wait(self, place: Float64Array, time_s: float) -> bool:
        """Whether a face that looks like nobody lost gets no name yet: it may be one of them, half hidden, or the last
        place is kept for one of them.
        """
        hidden = any(distance_iod(place, track.transform) < _OVERLAP_IOD for track in self._live)
        patience_s = MEMORY_S if hidden else _PATIENCE_S
        kept = self._prefer_larger and len(self._live) + len(self._lost) >= self._max_faces
        return any(
            time_s - track.time_s < patience_s if within_reach(track.transform, time_s - track.time_s, place) else kept
            for track in self._lost
        )

    def _new_id(self) -> int:
        track_id, self._next_track = self._next_track, self._next_track + 1
        return track_id

    def _wait_s(self) -> float:
        if len(self._live) >= self._max_faces:
            return self._interval_s if self._prefer_larger else np.inf
        if self._lost:
            return min(_RETRY_S, self._interval_s)
        return self._interval_s if self._live else min(_EMPTY_RETRY_S, self._interval_s)

    def _match(self, places: Sequence[Float64Array], frame: Frame) -> dict[int, int]:
        candidates = []
        for found, place in enumerate(places):
            picture = normalised(frame.luma, place)
            for lost, track in enumerate(self._lost):
                gap_s = frame.time_s - track.time_s
                likeness = correlation(track.anchor.template, picture)
                cost = reunion_cost(track.transform, gap_s, place, likeness)
                if cost is not None:
                    candidates.append(Reunion(lost, found, cost))
        return cheapest(candidates)

    def _start(self, track_id: int, face: Face, frame: Frame) -> Track:
        anchor = make_anchor(frame.luma, face)
        anchor_id, self._next_anchor = self._next_anchor, self._next_anchor + 1
        return Track(
            track_id=track_id,
            anchor_id=anchor_id,
            anchor=anchor,
            anchor_s=frame.time_s,
            transform=anchor.transform,
            time_s=frame.time_s,
            residual_iod=0.0,
            correlation=1.0,
            velocity=np.zeros(2),
            quality=assess(frame.luma, anchor.transform, anchor.landmarks_crop),
            quality_s=frame.time_s,
        )


def _same_place(one: Float64Array, other: Float64Array) -> bool:
    return distance_iod(one, other) < _SAME_PLACE_IOD
