"""Every real face of one picture: candidates of the detector that the landmark network confirms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from server.faces.align import eye_centres
from server.faces.detect import Detection, FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.types import Face, UInt8Array

_SAME_FACE_IOD = 0.6
_ROUGHLY = 0.8
"""The detector's eyes are this close to those of the mesh, in their distance."""


def find_faces(
    rgb: UInt8Array,
    detector: FaceDetector,
    landmarker: FaceLandmarker,
    *,
    thorough: bool = False,
    least_iod_px: float = 0.0,
) -> list[Face]:
    """Faces in `rgb` uint8 [H, W, 3], largest first.

    Small ones are looked for where no large one is, or always with `thorough`. The landmarks are taken twice, the
    second time where the first put the face, so that they do not depend on the detector's box. With `least_iod_px`,
    only large faces whose eyes are that far apart: the others cost no landmarks, which are most of the work.
    """
    faces: list[Face] = []
    for detection in detector.detect(rgb, thorough=thorough, coarse=least_iod_px > 0):
        if _eyes_px(detection) < _ROUGHLY * least_iod_px:
            continue
        rough = landmarker.landmarks(rgb, detection)
        face = rough and landmarker.landmarks_near(rgb, rough.landmarks)
        if face and not any(same_place(face, other) for other in faces):
            faces.append(face)
    return sorted((face for face in faces if iod_px(face) >= least_iod_px), key=lambda face: -iod_px(face))


def iod_px(face: Face) -> float:
    """Distance of the eye centres in frame px."""
    left, right = eye_centres(face.landmarks)
    return float(np.hypot(*(right - left)))


def same_place(one: Face, other: Face) -> bool:
    """Whether two meshes of one frame lie on the same face."""
    gap = eye_centres(one.landmarks).mean(axis=0) - eye_centres(other.landmarks).mean(axis=0)
    return float(np.hypot(*gap)) < _SAME_FACE_IOD * max(iod_px(one), iod_px(other))


def largest(faces: Sequence[Face]) -> Face | None:
    """The face with the widest eye distance; None when there is none."""
    return max(faces, key=iod_px, default=None)


def _eyes_px(detection: Detection) -> float:
    left, right = detection.keypoints[:2]
    return float(np.hypot(*(right - left)))
