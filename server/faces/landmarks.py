"""Places the 468 mesh points on a face that was found: MediaPipe's landmark network on a turned, enlarged square."""

from __future__ import annotations

import math

import numpy as np

from server.faces.align import angle_of, apply, invert, sample, scale_of, similarity
from server.faces.detect import Detection
from server.faces.networks import LANDMARKS, Network, sigmoid
from server.types import Face, Float32Array, Float64Array, UInt8Array

INPUT_PX = 192
MIN_PRESENCE = 0.5
_SURE_LOGIT = 10.0
_ENLARGE = 1.5
_EYE_OUTER = (33, 263)
# A face fills this square of the crop: centre and side of the box around its mesh points, in crop px.
_CROP_FACE_CENTRE = (128.0, 152.0)
_CROP_FACE_SIDE = 279.0


class FaceLandmarker:
    """Face mesh (Kartynnik et al. 2019). One face per call, colour needed: grey pictures shift the points."""

    def __init__(self, threads: int = 1) -> None:
        self._network = Network(LANDMARKS, ("landmarks", "presence"), threads)

    def landmarks(self, rgb: UInt8Array, detection: Detection) -> Face | None:
        """The mesh of a detected face in `rgb` uint8 [H, W, 3]; None when the network sees no face there."""
        x0, y0, x1, y1 = detection.box
        across = detection.keypoints[1] - detection.keypoints[0]
        where = ((x0 + x1) / 2, (y0 + y1) / 2), max(x1 - x0, y1 - y0)
        angle_rad = math.atan2(across[1], across[0])
        mesh, logit = self._run(rgb, *where, angle_rad)
        if logit < _SURE_LOGIT:
            # The detector takes a face that is upside down for an upright one; the landmark network can tell.
            turned, turned_logit = self._run(rgb, *where, angle_rad + math.pi)
            if turned_logit > logit:
                mesh, logit = turned, turned_logit
        return _face(mesh, logit)

    def landmarks_near(self, rgb: UInt8Array, landmarks: Float32Array) -> Face | None:
        """The mesh of the face whose points [468, 2], in px, are known from an earlier frame; None when it is gone."""
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        across = landmarks[_EYE_OUTER[1]] - landmarks[_EYE_OUTER[0]]
        centre = (low + high) / 2
        side = float((high - low).max())
        return _face(*self._run(rgb, (float(centre[0]), float(centre[1])), side, math.atan2(across[1], across[0])))

    def landmarks_at(self, rgb: UInt8Array, transform: Float64Array) -> Face | None:
        """The mesh of the face that a frame -> crop transform places; None when the network sees no face there."""
        centre = apply(invert(transform), np.array([_CROP_FACE_CENTRE]))[0]
        side = _CROP_FACE_SIDE / scale_of(transform)
        return _face(*self._run(rgb, (float(centre[0]), float(centre[1])), side, -angle_of(transform)))

    def _run(
        self, rgb: UInt8Array, centre: tuple[float, float], side: float, angle_rad: float
    ) -> tuple[Float32Array, float]:
        """Mesh float32 [468, 2] in px of the square around `centre`, and the logit of a face being there."""
        if not side > 1:
            return np.zeros((0, 2), np.float32), -math.inf
        scale = INPUT_PX / (side * _ENLARGE)
        middle = (INPUT_PX - 1) / 2
        turned = apply(similarity(scale, -angle_rad, (0, 0)), np.array([centre]))[0]
        transform = similarity(scale, -angle_rad, (middle - float(turned[0]), middle - float(turned[1])))
        patch = sample(rgb, transform, INPUT_PX) / np.float32(255)
        points, presence = self._network.run(np.ascontiguousarray(patch.transpose(2, 0, 1)[None]))
        # The network counts from the edge of the first pixel, pictures here from its centre.
        mesh = apply(invert(transform), points.reshape(-1, 3)[:, :2] - 0.5).astype(np.float32)
        return mesh, float(presence.ravel()[0])


def _face(mesh: Float32Array, logit: float) -> Face | None:
    score = float(sigmoid(np.asarray(logit, np.float32)))
    if score < MIN_PRESENCE:
        return None
    (left, top), (right, bottom) = mesh.min(axis=0), mesh.max(axis=0)
    return Face((float(left), float(top), float(right), float(bottom)), mesh, score)
