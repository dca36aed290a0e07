"""How far a face supports an answer: its size, sharpness, pose and share inside the picture, and the grade of these."""

from __future__ import annotations

import math

import cv2
import numpy as np

from server.faces.align import angle_of, inside_share, iod_of, warp
from server.types import Evidence, FaceQuality, Float32Array, Float64Array, Grade, UInt8Array

FAIR_IOD_PX, POOR_IOD_PX = 60.0, 35.0
FAIR_SHARPNESS, POOR_SHARPNESS = 8.0, 3.0
FAIR_YAW_DEG, POOR_YAW_DEG = 15.0, 25.0
FAIR_PITCH_DEG, POOR_PITCH_DEG = 20.0, 30.0
FAIR_FPS, POOR_FPS = 50.0, 25.0
FAIR_INSIDE, POOR_INSIDE = 0.98, 0.85
_FPS_TOLERANCE = 0.97
_ORDER: tuple[Grade, ...] = ("good", "fair", "poor")

_BONE = {
    1: (0.0, 0.571, -0.707),
    6: (0.0, -0.017, -0.494),
    10: (0.0, -0.864, -0.454),
    33: (-0.726, -0.096, -0.081),
    116: (-0.991, 0.142, 0.141),
    127: (-1.089, -0.040, 0.687),
    133: (-0.274, -0.054, -0.165),
    168: (0.0, -0.143, -0.437),
    195: (0.0, 0.211, -0.640),
    234: (-1.070, 0.169, 0.784),
    263: (0.726, -0.096, -0.081),
    345: (0.991, 0.142, 0.141),
    356: (1.089, -0.040, 0.687),
    362: (0.274, -0.054, -0.165),
    454: (1.070, 0.169, 0.784),
}
"""Mesh points over bone of a frontal face, in IOD: the landmark network's own 3-D answer, made symmetric.

x to the right, y down, z away from the camera.
"""
_INDICES = list(_BONE)
_SHAPE = np.array(list(_BONE.values()))
_SHAPE_INVERSE = np.linalg.pinv(_SHAPE - _SHAPE.mean(axis=0))


def assess(luma: UInt8Array, transform: Float64Array, landmarks_crop: Float32Array) -> FaceQuality:
    """Quality of one face in the frame `luma` uint8 [H, W], under its frame -> crop transform.

    Yaw and pitch are those of `landmarks_crop` float32 [468, 2], which is to say of the anchor frame.
    """
    yaw, pitch, roll = head_pose(landmarks_crop)
    crop = warp(luma, transform)
    return FaceQuality(
        iod_px=iod_of(transform),
        sharpness=float(cv2.Laplacian(crop, cv2.CV_32F).var()),
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=roll - math.degrees(angle_of(transform)),
        inside=inside_share(transform, luma.shape[1], luma.shape[0]),
    )


def head_pose(landmarks: Float32Array) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees from landmarks [468, 2] of any scale.

    Yaw is positive when the nose points to the right of the picture, pitch when it points down, roll when the head
    leans clockwise. Weak perspective in closed form: linear least squares, then the nearest rotation
    (DeMenthon and Davis 1995, first iteration).
    """
    points = np.asarray(landmarks, np.float64)[_INDICES]
    rows = (_SHAPE_INVERSE @ (points - points.mean(axis=0))).T
    left, _, right = np.linalg.svd(rows, full_matrices=False)
    across, down = left @ right
    ahead = np.cross(across, down)
    yaw = math.degrees(math.atan2(ahead[0], ahead[2]))
    pitch = math.degrees(math.asin(float(np.clip(ahead[1], -1, 1))))
    roll = math.degrees(math.atan2(-across[1], down[1]))
    return yaw, pitch, roll


def grade(quality: FaceQuality, fps: float) -> Evidence:
    """The worst of all aspects, with a reason in words for each that is not good, worst first."""
    found: list[tuple[int, str]] = []

    def note(level: int, reason: str) -> None:
        if level:
            found.append((level, reason))

    size = f"the face is small: {quality.iod_px:.0f} px between the eyes, {FAIR_IOD_PX:.0f} or more is good"
    note(_below(quality.iod_px, FAIR_IOD_PX, POOR_IOD_PX), size)
    note(_below(quality.sharpness, FAIR_SHARPNESS, POOR_SHARPNESS), "the face is blurred or strongly compressed")
    turned = f"the head is turned sideways by {abs(quality.yaw_deg):.0f} degrees"
    note(_below(-abs(quality.yaw_deg), -FAIR_YAW_DEG, -POOR_YAW_DEG), turned)
    nodded = f"the head is tilted {'down' if quality.pitch_deg > 0 else 'up'} by {abs(quality.pitch_deg):.0f} degrees"
    note(_below(-abs(quality.pitch_deg), -FAIR_PITCH_DEG, -POOR_PITCH_DEG), nodded)
    rate = f"the frame rate is low: {fps:.0f} per second, {FAIR_FPS:.0f} or more is good"
    note(_below(fps, FAIR_FPS * _FPS_TOLERANCE, POOR_FPS * _FPS_TOLERANCE), rate)
    cut = f"the face is partly outside the picture: {100 * quality.inside:.0f} % of it can be seen"
    note(_below(quality.inside, FAIR_INSIDE, POOR_INSIDE), cut)
    found.sort(key=lambda item: -item[0])
    worst = max((level for level, _ in found), default=0)
    return Evidence(_ORDER[worst], tuple(reason for _, reason in found))


def _below(value: float, fair: float, poor: float) -> int:
    """0 good, 1 fair, 2 poor; a value that is not a number is poor."""
    return 0 if value >= fair else 1 if value >= poor else 2
