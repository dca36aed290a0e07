"""Aligns a few pictures of one face to each other: the frames of one event, or two stills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.errors import FaceLost, NoFace
from server.faces.align import crop_transform, warp
from server.faces.anchor import Anchor, Fit, is_lost, locate, make_anchor
from server.faces.detect import FaceDetector
from server.faces.find import find_faces, largest
from server.faces.landmarks import FaceLandmarker
from server.faces.quality import assess
from server.types import Crop, Face, FaceQuality, Float32Array, Float64Array, Frame

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class AlignedSet:
    """One face in several frames, comparable at sub-pixel level.

    `anchor` is the crop of the anchor frame and `crops` those of the other frames, in the order asked for.
    `landmarks_crop` float32 [468, 2], crop px, hold for all of them. `residuals_iod`, one per crop, say how well a
    similarity explains the motion (large: the head turned out of plane). `quality` is the anchor's.
    """

    anchor: Crop
    crops: tuple[Crop, ...]
    landmarks_crop: Float32Array
    residuals_iod: tuple[float, ...]
    quality: FaceQuality


def align_to(
    anchor: Frame,
    frames: Sequence[Frame],
    landmarker: FaceLandmarker,
    detector: FaceDetector,
    near: Float64Array | None = None,
) -> AlignedSet:
    """Crops of one face that compare at sub-pixel level.

    Landmarks are taken on `anchor` only; its stable points are followed into each of `frames` and one similarity per
    frame brings it into the anchor's crop. `near`, a frame -> crop transform, says which face and roughly where;
    without it the largest face of the anchor is meant.

    Raises `NoFace` when the anchor shows no face, and `FaceLost` when another frame does not show it: the message
    says which, and `details["frame"]` holds its index.
    """
    made = _anchor(anchor, landmarker, detector, near)
    fits = [_fit(made, frame, landmarker, detector, near) for frame in frames]
    return AlignedSet(
        anchor=Crop(warp(anchor.luma, made.transform), anchor.time_s, made.transform),
        crops=tuple(
            Crop(warp(frame.luma, fit.transform), frame.time_s, fit.transform)
            for frame, fit in zip(frames, fits, strict=True)
        ),
        landmarks_crop=made.landmarks_crop,
        residuals_iod=tuple(fit.residual_iod for fit in fits),
        quality=assess(anchor.luma, made.transform, made.landmarks_crop),
    )


def align_those_seen(
    anchor: Frame,
    frames: Sequence[tuple[Frame, Float64Array]],
    landmarker: FaceLandmarker,
    detector: FaceDetector,
    near: Float64Array,
) -> list[Crop]:
    """Crops of those of `frames` that show the face of `anchor`, aligned with it, in the same order.

    With each frame comes the frame -> crop transform near which the face is looked for; `near` is that of `anchor`.
    Raises `NoFace` when the anchor shows no face.
    """
    made = _anchor(anchor, landmarker, detector, near)
    fits = [(frame, locate(made, frame.luma, guess, rounds=_ROUNDS)) for frame, guess in frames]
    return [
        Crop(warp(frame.luma, fit.transform), frame.time_s, fit.transform)
        for frame, fit in fits
        if fit is not None and not is_lost(fit)
    ]


def _anchor(frame: Frame, landmarker: FaceLandmarker, detector: FaceDetector, near: Float64Array | None) -> Anchor:
    face = _anchor_face(frame, landmarker, detector, near)
    if face is None:
        raise NoFace(f"no face was found in frame {frame.index}", stage="faces", frame=frame.index)
    return make_anchor(frame.luma, face)


def _anchor_face(
    frame: Frame, landmarker: FaceLandmarker, detector: FaceDetector, near: Float64Array | None
) -> Face | None:
    rgb = frame.rgb()
    if near is None:
        return largest(find_faces(rgb, detector, landmarker))
    rough = landmarker.landmarks_at(rgb, near)
    return rough and landmarker.landmarks_near(rgb, rough.landmarks)


def _fit(
    anchor: Anchor, frame: Frame, landmarker: FaceLandmarker, detector: FaceDetector, near: Float64Array | None
) -> Fit:
    """The anchor's face in `frame`: first from where it was, then from wherever a face is now."""
    guesses = [anchor.transform] if near is None else [anchor.transform, near]
    for guess in guesses:
        fit = locate(anchor, frame.luma, guess, rounds=_ROUNDS)
        if fit and not is_lost(fit):
            return fit
    rgb = frame.rgb()
    fits = [
        locate(anchor, frame.luma, crop_transform(face.landmarks), rounds=_ROUNDS)
        for face in find_faces(rgb, detector, landmarker, thorough=True)
    ]
    trusted = [fit for fit in fits if fit and not is_lost(fit)]
    if not trusted:
        message = f"the face of the first picture was not found in frame {frame.index}"
        raise FaceLost(message, stage="faces", frame=frame.index)
    return max(trusted, key=lambda fit: fit.correlation)
