"""The parts of a face that a smooth warp alone cannot render: lids that fold, lips that part, eyes that turn, depth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from export.synthesis.mesh_motion import FaceFrame
from server.types import Float32Array

UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
_LID_SKIN_IOD = 0.13
"""Most height of the skin above the open eye that unfolds when the lid closes; part of the way to the brow."""
_SKIN_SHARE = 0.7
_LASHES_PX = 1.5
_BROWS = ((55, 65, 52, 53), (285, 295, 282, 283))
_UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
_LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_SEAM_PX = 1.2
_JAW_WIDENS = 0.35
_LIP_FALL_IOD = 0.28
_NECK_IOD = 0.5
_DARK_LUMA, _DARK_CHROMA = 38.0, (121.0, 139.0)


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye at rest: its box (x0, y0, x1, y1 in px) and contours, float32 [9, 2], sorted by x."""

    box: tuple[float, float, float, float]
    upper: Float32Array
    lower: Float32Array
    skin_px: float

    def fold(self, x: Float32Array, y: Float32Array, level: float) -> Float32Array:
        """Where on the resting face the rows `y` of a lid that is `level` closed come from: the skin above the eye
        unfolds down to the lid's edge, the eye below it stays as it is being covered.
        """
        inside = (x >= self.upper[0, 0]) & (x <= self.upper[-1, 0])
        open_edge = np.interp(x, self.upper[:, 0], self.upper[:, 1])
        low_edge = np.interp(x, self.lower[:, 0], self.lower[:, 1])
        edge = open_edge + level * np.maximum(low_edge + _LASHES_PX - open_edge, 0)
        top = open_edge - self.skin_px
        covered = inside & (y > top) & (y < edge)
        share = (y - top) / np.maximum(edge - top, 1e-3)
        return np.asarray(np.where(covered, top + share * (open_edge - top), y), dtype=np.float32)

    def opening(self, x: Float32Array, y: Float32Array) -> Float32Array:
        """How freely the eyeball shows at resting points, 0 at the lids to 1 in the middle of the opening."""
        open_edge = np.interp(x, self.upper[:, 0], self.upper[:, 1])
        low_edge = np.interp(x, self.lower[:, 0], self.lower[:, 1])
        height = max(float((self.lower[:, 1] - self.upper[:, 1]).max()), 1.0)
        inside = (x > self.upper[0, 0]) & (x < self.upper[-1, 0])
        depth = np.minimum(y - open_edge, low_edge - y) / (0.25 * height)
        return np.asarray(np.where(inside, np.clip(depth, 0, 1), 0), dtype=np.float32)


def eyes_of(landmarks: Float32Array) -> tuple[Eye, Eye]:
    """Both eyes of a mesh, float32 [468, 2] in px."""
    found = []
    for upper, lower, brow in zip(UPPER_LIDS, LOWER_LIDS, _BROWS, strict=True):
        edges = [landmarks[list(rows)] for rows in (upper, lower)]
        high, low = (edge[np.argsort(edge[:, 0])] for edge in edges)
        skin = _SKIN_SHARE * float(high[:, 1].min() - landmarks[list(brow), 1].max())
        skin = max(min(skin, _LID_SKIN_IOD * FaceFrame.of(landmarks).iod_px), 1.0)
        both = np.concatenate([high, low])
        x0, y0 = both.min(axis=0)
        x1, y1 = both.max(axis=0)
        found.append(Eye((float(x0), float(y0 - skin), float(x1), float(y1)), high, low, skin))
    return found[0], found[1]


def sample_at(picture: Float32Array, points: Float32Array) -> Float32Array:
    """`picture` float32 [H, W] or [H, W, C] at `points` float32 [h, w, 2], linear and exact.

    Outside, its border repeats.
    """
    # An empty second map, which the type asks for, makes OpenCV read beyond the picture.
    sampled = cv2.remap(picture, points, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(sampled, np.float32)


class Mouth:
    """The opening between the lips of one resting face.

    What lies below the lower lip's inner edge moves down with it; what shows between the lips stays on the skull: the
    teeth of the picture where it has any, dark beneath.
    """

    def __init__(self, landmarks: Float32Array) -> None:
        frame = FaceFrame.of(landmarks)
        self._iod = frame.iod_px
        self._upper = landmarks[list(_UPPER_LIP)]
        lower = landmarks[list(_LOWER_LIP)]
        self._lower = np.stack([lower[:, 0], np.maximum(lower[:, 1], self._upper[:, 1])], axis=1)
        corners = landmarks[[61, 291]]
        self._half = float(np.hypot(*(corners[1] - corners[0]))) / 2
        self._centre = corners.mean(axis=0)
        self._chin_y = float(landmarks[152, 1])
        self._lip_y = float(landmarks[17, 1])
        width = 1.3 * self._half
        self.box = (
            float(self._centre[0] - width),
            float(self._upper[:, 1].min() - 0.1 * self._iod),
            float(self._centre[0] + width),
            float(self._chin_y + _NECK_IOD * self._iod),
        )

    def drop(self, points: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Downward motion of the lower layer at resting `points` [..., 2], 1 at the middle of the lower lip.

        Returns:
            The motion when only the lip is lowered, and when the jaw is, float32 [...].
        """
        x, y = np.abs(points[..., 0] - self._centre[0]), points[..., 1]
        below = np.maximum(y - self._centre[1], 0)
        lip = np.cos(np.pi / 2 * np.minimum(x / self._half, 1)) ** 2
        lip *= np.exp(-((np.maximum(y - self._lip_y, 0) / (_LIP_FALL_IOD * self._iod)) ** 2))
        jaw = np.cos(np.pi / 2 * np.minimum(x / (self._half + _JAW_WIDENS * below), 1)) ** 2
        under = np.clip((y - self._chin_y) / (_NECK_IOD * self._iod), 0, 1)
        jaw *= np.cos(np.pi / 2 * under) ** 2
        return lip.astype(np.float32), jaw.astype(np.float32)

    def masks(self, points: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Which resting `points` [..., 2] belong to the upper layer and which to the lower one, 0..1, soft at the edge.

        Between the lips neither does.
        """
        x, y = points[..., 0], points[..., 1]
        upper_edge = np.interp(x, self._upper[:, 0], self._upper[:, 1])
        lower_edge = np.interp(x, self._lower[:, 0], self._lower[:, 1])
        inside = (x > self._upper[0, 0]) & (x < self._upper[-1, 0])
        lower = np.clip((y - lower_edge) / _SEAM_PX + 0.5, 0, 1)
        upper = np.where(inside, np.clip((upper_edge - y) / _SEAM_PX + 0.5, 0, 1), 1)
        return upper.astype(np.float32), lower.astype(np.float32)

    def interior(
        self, luma: Float32Array, chroma: Float32Array, points: Float32Array
    ) -> tuple[Float32Array, Float32Array]:
        """What shows between parted lips, in the pictures given: the base where the resting mouth is open, dark below.

        Args:
            luma: float32 [2 H, 2 W].
            chroma: float32 [H, W, 2].
            points: resting position of each pixel of `luma`, float32 [2 H, 2 W, 2].
        """
        lower_edge = np.interp(points[..., 0], self._lower[:, 0], self._lower[:, 1])
        soft = 0.02 * self._iod
        dark = np.clip((points[..., 1] - lower_edge) / soft, 0, 1).astype(np.float32)
        dark_half = cv2.resize(dark, chroma.shape[1::-1], interpolation=cv2.INTER_AREA)[..., None]
        inner = luma + dark * (_DARK_LUMA - luma)
        inner_chroma = chroma + dark_half * (np.array(_DARK_CHROMA, np.float32) - chroma)
        return np.asarray(inner, np.float32), np.asarray(inner_chroma, np.float32)


def depth_of(landmarks: Float32Array, points: Float32Array) -> Float32Array:
    """How far `points` [..., 2] stand out towards the camera from the plane of the bridge of the nose, px: an ellipsoid
    for the head and a bump for the nose, zero off the head.
    """
    frame = FaceFrame.of(landmarks)
    middle = landmarks[[33, 263, 61, 291]].mean(axis=0)
    local = (points - middle) / frame.iod_px
    inside = np.clip(1 - (local[..., 0] / 1.25) ** 2 - (local[..., 1] / 1.8) ** 2, 0, 1)
    nose = (points - landmarks[1]) / frame.iod_px
    tall = np.where(nose[..., 1] < 0, 0.4, 0.14)
    bump = 0.28 * np.exp(-((nose[..., 0] / 0.16) ** 2) - (nose[..., 1] / tall) ** 2)
    bridge = 0.8 * np.sqrt(np.clip(1 - ((landmarks[168] - middle)[1] / frame.iod_px / 1.8) ** 2, 0, 1))
    fade = np.clip(inside / 0.15, 0, 1)
    return np.asarray(frame.iod_px * fade * (0.8 * np.sqrt(inside) + bump - bridge), dtype=np.float32)


def turning_depth(landmarks: Float32Array, points: Float32Array) -> tuple[Float32Array, Float32Array]:
    """What a head shows of itself when it turns about its own axis.

    Args:
        landmarks: float32 [468, 2] of the resting face, px.
        points: [..., 2] in px.

    Returns:
        How far each point stands before the axis, px, [...]: an ellipsoid with a nose. And where each point lies
        beside the axis, px, [..., 2], which is what grows shorter. Both fade to zero towards the border of the head,
        gently enough for a turn of 25 degrees not to fold the picture.
    """
    frame = FaceFrame.of(landmarks)
    middle = landmarks[[33, 263, 61, 291]].mean(axis=0)
    local = (points - middle) / frame.iod_px
    inside = np.clip(1 - (local[..., 0] / 1.25) ** 2 - (local[..., 1] / 1.8) ** 2, 0, 1)
    fade = np.clip(inside / 0.5, 0, 1)
    nose = (points - landmarks[1]) / frame.iod_px
    tall = np.where(nose[..., 1] < 0, 0.4, 0.14)
    bump = 0.28 * np.exp(-((nose[..., 0] / 0.16) ** 2) - (nose[..., 1] / tall) ** 2)
    before = frame.iod_px * fade * (0.8 * np.sqrt(inside) + bump)
    beside = frame.iod_px * fade[..., None] * local
    return np.asarray(before, dtype=np.float32), np.asarray(beside, dtype=np.float32)
