"""Follows every face through a clip: one identity each, one anchor for as long as it fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from server.faces.align import angle_of, crop_transform, inside_share, invert, scale_of
from server.faces.align import apply as apply_transform
from server.faces.anchor import Anchor, Fit, correlation, is_lost, locate, make_anchor, normalised
from server.faces.detect import FaceDetector
from server.faces.find import find_faces
from server.faces.identity import (
    MIN_LIKENESS,
    Reunion,
    centre_px,
    cheapest,
    distance_iod,
    moved,
    reunion_cost,
    similar_size,
    within_reach,
)
from server.faces.landmarks import FaceLandmarker
from server.faces.quality import assess
from server.types import Face, FaceQuality, Float64Array, Frame, TrackedFace

MEMORY_S = 1.0
"""How long a face that is out of sight keeps its identity."""
_RETRY_S = 0.1
_EMPTY_RETRY_S = 0.5
_QUALITY_EVERY_S = 0.2
_MIN_ANCHOR_S = 0.3
_VELOCITY_TRUST = 0.7
_SAME_PLACE_IOD = 0.6
_OVERLAP_IOD = 2.5
_PATIENCE_S = 0.3
_MIN_INSIDE = 0.5
_LOOSE_AGREEING, _LOOSE_CORRELATION, _LOOSE_RESIDUAL_IOD = 0.6, 0.55, 0.015
_LOOSE_SCALE = 1.5
_LOOSE_ANGLE_RAD = 0.8


@dataclass(frozen=True, slots=True)
class _Track:
    """What is known of one face after its last frame. `velocity` px/s in the frame."""

    track_id: int
    anchor_id: int
    anchor: Anchor
    anchor_s: float
    transform: Float64Array
    time_s: float
    residual_iod: float
    correlation: float
    velocity: Float64Array
    quality: FaceQuality
    quality_s: float

    def public(self) -> TrackedFace:
        return TrackedFace(
            self.track_id,
            self.anchor_id,
            self.transform,
            self.anchor.landmarks_crop,
            self.residual_iod,
            self.quality,
        )


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
    ) -> None:
        """`detect_interval_s` is how often new faces are looked for while others are in view; `thorough` looks for
        small ones too, which costs far more than to look for those as large as the ones in view.
        """
        self._detector = detector
        self._landmarker = landmarker
        self._max_faces = max_faces
        self._interval_s = detect_interval_s
        self._thorough = thorough
        self.reset()

    def reset(self) -> None:
        """Forget every face and start identities anew."""
        self._next_track = 1
        self._next_anchor = 1
        self.forget()

    def forget(self) -> None:
        """Forget every face; those that come have identities of their own."""
        self._live: list[_Track] = []
        self._lost: list[_Track] = []
        self._due: set[int] = set()
        self._detect_s = -np.inf

    def renew(self, track_id: int) -> None:
        """Take the anchor of a face anew with the next frame: it is at rest, and the anchor is old or fits badly."""
        self._due.add(track_id)

    def update(self, frame: Frame) -> list[TrackedFace]:
        """Faces in `frame`, ordered by `track_id`. Frames must come in order of time."""
        before = len(self._live)
        self._lost = [track for track in self._lost if frame.time_s - track.time_s <= MEMORY_S]
        self._follow_all(frame)
        if len(self._live) < before or frame.time_s >= self._detect_s:
            self._detect(frame)
        self._live.sort(key=lambda track: track.track_id)
        return [track.public() for track in self._live]

    def _follow_all(self, frame: Frame) -> None:
        kept: list[_Track] = []
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

    def _follow(self, track: _Track, frame: Frame) -> _Track | None:
        elapsed_s = frame.time_s - track.time_s
        guess = moved(track.transform, track.velocity * elapsed_s * _VELOCITY_TRUST)
        fit = locate(track.anchor, frame.luma, guess)
        if fit and not self._visible(fit.transform, frame):
            return None
        if fit is None or is_lost(fit):
            return self._recover(track, frame)
        step = _advance(track, fit, frame.time_s)
        due = track.track_id in self._due
        if due or _wants_anchor(step, fit):
            self._due.discard(track.track_id)
            return self._recover(step, frame, anew=due) or step
        if frame.time_s - step.quality_s >= _QUALITY_EVERY_S:
            quality = assess(frame.luma, step.transform, step.anchor.landmarks_crop)
            step = replace(step, quality=quality, quality_s=frame.time_s)
        return step

    def _visible(self, transform: Float64Array, frame: Frame) -> bool:
        height, width = frame.luma.shape
        return inside_share(transform, width, height) >= _MIN_INSIDE

    def _recover(self, track: _Track, frame: Frame, *, anew: bool = False) -> _Track | None:
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

    def _resume(self, track: _Track, face: Face, frame: Frame, *, anew: bool = False) -> _Track:
        """A face that was found again: under its old anchor where that fits, so that its crops stay comparable; unless
        that is wanted `anew`.
        """
        place = crop_transform(face.landmarks)
        fit = None if anew else locate(track.anchor, frame.luma, place)
        if fit and not is_lost(fit):
            step = _advance(track, fit, frame.time_s)
            if not _wants_anchor(step, fit):
                return step
        started = self._start(track.track_id, face, frame)
        return replace(started, velocity=_velocity(track, started.transform, frame.time_s))

    def _detect(self, frame: Frame) -> None:
        new = []
        thorough = self._thorough and bool(self._live)
        for face in find_faces(frame.rgb(), self._detector, self._landmarker, thorough=thorough):
            place = crop_transform(face.landmarks)
            known = any(_same_place(place, track.transform) for track in self._live)
            if self._visible(place, frame) and not known:
                new.append(face)
        matches = self._match([crop_transform(face.landmarks) for face in new], frame)
        # Faces that come back go first, then the largest, until all places are taken.
        for position in sorted(range(len(new)), key=lambda position: position not in matches):
            if len(self._live) >= self._max_faces:
                break
            if position in matches:
                self._live.append(self._resume(self._lost[matches[position]], new[position], frame))
            elif not self._may_be_lost_one(crop_transform(new[position].landmarks), frame.time_s):
                self._live.append(self._start(self._new_id(), new[position], frame))
        live = {track.track_id for track in self._live}
        self._lost = [track for track in self._lost if track.track_id not in live]
        self._detect_s = frame.time_s + self._wait_s()

    def _may_be_lost_one(self, place: Float64Array, time_s: float) -> bool:
        """Whether a face that looks like nobody lost may yet be one, half hidden: it gets no new name so soon."""
        hidden = any(distance_iod(place, track.transform) < _OVERLAP_IOD for track in self._live)
        patience_s = MEMORY_S if hidden else _PATIENCE_S
        return any(
            time_s - track.time_s < patience_s and within_reach(track.transform, time_s - track.time_s, place)
            for track in self._lost
        )

    def _new_id(self) -> int:
        track_id, self._next_track = self._next_track, self._next_track + 1
        return track_id

    def _wait_s(self) -> float:
        if self._lost:
            return min(_RETRY_S, self._interval_s)
        if not self._live:
            return min(_EMPTY_RETRY_S, self._interval_s)
        return self._interval_s if len(self._live) < self._max_faces else np.inf

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

    def _start(self, track_id: int, face: Face, frame: Frame) -> _Track:
        anchor = make_anchor(frame.luma, face)
        anchor_id, self._next_anchor = self._next_anchor, self._next_anchor + 1
        return _Track(
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


def _wants_anchor(track: _Track, fit: Fit) -> bool:
    """Whether the anchor no longer fits. Anchors are costly to change: crops before and after do not compare."""
    age_s = track.time_s - track.anchor_s
    if age_s < _MIN_ANCHOR_S:
        return False
    turn = angle_of(track.transform) - angle_of(track.anchor.transform)
    ratio = scale_of(track.transform) / scale_of(track.anchor.transform)
    return (
        fit.agreeing < _LOOSE_AGREEING
        or fit.correlation < _LOOSE_CORRELATION
        or fit.residual_iod > _LOOSE_RESIDUAL_IOD
        or not 1 / _LOOSE_SCALE < ratio < _LOOSE_SCALE
        or abs((turn + np.pi) % (2 * np.pi) - np.pi) > _LOOSE_ANGLE_RAD
    )


def _velocity(track: _Track, transform: Float64Array, time_s: float) -> Float64Array:
    elapsed_s = time_s - track.time_s
    if elapsed_s <= 0:
        return track.velocity
    now = (centre_px(transform) - centre_px(track.transform)) / elapsed_s
    return np.asarray((track.velocity + now) / 2)


def _advance(track: _Track, fit: Fit, time_s: float) -> _Track:
    return replace(
        track,
        transform=fit.transform,
        time_s=time_s,
        residual_iod=fit.residual_iod,
        correlation=fit.correlation,
        velocity=_velocity(track, fit.transform, time_s),
    )
