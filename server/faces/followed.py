"""One face that is followed: what is known of it after its last frame, and whether its anchor still fits."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from server.faces.align import angle_of, scale_of
from server.faces.anchor import Anchor, Fit
from server.faces.identity import centre_px
from server.types import FaceQuality, Float64Array, TrackedFace

_MIN_ANCHOR_S = 0.3
_LOOSE_AGREEING, _LOOSE_CORRELATION, _LOOSE_RESIDUAL_IOD = 0.6, 0.55, 0.015
_LOOSE_SCALE = 1.5
_LOOSE_ANGLE_RAD = 0.8


@dataclass(frozen=True, slots=True)
class Track:
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
        """What others are told of it."""
        return TrackedFace(
            self.track_id,
            self.anchor_id,
            self.transform,
            self.anchor.landmarks_crop,
            self.residual_iod,
            self.quality,
        )


def wants_anchor(track: Track, fit: Fit) -> bool:
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


def velocity_of(track: Track, transform: Float64Array, time_s: float) -> Float64Array:
    """Velocity of a face, float64 [2] in px/s, that is at `transform` now: the mean of the last one and the new."""
    elapsed_s = time_s - track.time_s
    if elapsed_s <= 0:
        return track.velocity
    now = (centre_px(transform) - centre_px(track.transform)) / elapsed_s
    return np.asarray((track.velocity + now) / 2)


def advanced(track: Track, fit: Fit, time_s: float) -> Track:
    """The face one frame later, where its anchor was found again."""
    return replace(
        track,
        transform=fit.transform,
        time_s=time_s,
        residual_iod=fit.residual_iod,
        correlation=fit.correlation,
        velocity=velocity_of(track, fit.transform, time_s),
    )
