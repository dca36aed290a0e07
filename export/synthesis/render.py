"""Renders a script onto a portrait: moving pictures whose every displacement is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from export.synthesis.mesh_motion import FaceFrame, motion_field
from export.synthesis.script import HeadPose, Script
from server.types import Float32Array, Side, UInt8Array

_INVERSION_STEPS = 4
_UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
_LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
_LID_SKIN_IOD = 0.13
"""Height of the skin above the open eye that unfolds when the lid closes."""


@dataclass(frozen=True, slots=True)
class Portrait:
    """A face picture at rest: `rgb` uint8 [H, W, 3], `landmarks` float32 [468, 2] in px."""

    rgb: UInt8Array
    landmarks: Float32Array


class Renderer:
    """Frames of a script on one portrait. Keeps one displacement field per action unit and side."""

    def __init__(self, portrait: Portrait) -> None:
        height, width = portrait.rgb.shape[:2]
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._grid: Float32Array = np.stack([x, y], axis=-1)
        self._portrait = portrait
        self._face = FaceFrame.of(portrait.landmarks)
        self._fields: dict[tuple[int, Side], Float32Array] = {}

    def frames(self, script: Script, fps: float) -> Iterator[UInt8Array]:
        """Each frame as uint8 [H, W, 3] RGB, round(duration_s * fps) of them. Same script, same bytes."""
        rng = np.random.default_rng(script.seed)
        for index in range(round(script.duration_s * fps)):
            time_s = index / fps
            clean = self._picture(script, time_s)
            light = 1.0 + script.flicker * rng.standard_normal()
            noise = script.noise * rng.standard_normal(clean.shape[:2], dtype=np.float32)
            yield np.clip(np.rint(clean * light + noise[..., None]), 0, 255).astype(np.uint8)

    def _picture(self, script: Script, time_s: float) -> Float32Array:
        source = self._undo_head(script.sway.pose(time_s))
        for blink in script.blinks:
            if (level := blink.level(time_s)) > 0:
                source = self._undo_lids(source, level)
        motion = self._motion(script, time_s)
        if motion is not None:
            source = _undo_motion(source, motion)
        return np.asarray(
            cv2.remap(
                self._portrait.rgb.astype(np.float32),
                source[..., 0],
                source[..., 1],
                cv2.INTER_CUBIC,
                borderMode=cv2.BORDER_REPLICATE,
            ),
            dtype=np.float32,
        )

    def _undo_head(self, pose: HeadPose) -> Float32Array:
        """Where on the resting portrait each pixel of the posed picture lies."""
        angle = np.deg2rad(pose.roll_deg)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], dtype=np.float32)
        shift = np.array([pose.x_iod, pose.y_iod], dtype=np.float32) * self._face.iod_px
        back = (self._grid - self._face.centre - shift) @ turn.T / pose.scale + self._face.centre
        return np.asarray(back, dtype=np.float32)

    def _motion(self, script: Script, time_s: float) -> Float32Array | None:
        total: Float32Array | None = None
        for movement in script.movements:
            level = movement.level(time_s)
            if level == 0.0:
                continue
            for au, intensity in movement.action_units.items():
                part = np.float32(level * intensity) * self._field(au, movement.side)
                total = part if total is None else total + part
        return total

    def _field(self, au: int, side: Side) -> Float32Array:
        if (au, side) not in self._fields:
            self._fields[au, side] = motion_field(au, side, self._portrait.landmarks, self._grid)
        return self._fields[au, side]

    def _undo_lids(self, source: Float32Array, level: float) -> Float32Array:
        """Unfold the skin above each eye down to the lid edge; the eye below the edge stays, as it is being covered."""
        out = source.copy()
        x, y = source[..., 0], source[..., 1]
        skin = _LID_SKIN_IOD * self._face.iod_px
        for upper, lower in zip(_UPPER_LIDS, _LOWER_LIDS, strict=True):
            open_edge, low_edge = (self._contour(indices, x) for indices in (upper, lower))
            edge = open_edge + level * np.maximum(low_edge - open_edge, 0)
            top = open_edge - skin
            covered = (y > top) & (y < edge) & np.isfinite(edge)
            share = np.where(covered, (y - top) / np.maximum(edge - top, 1e-3), 0)
            out[..., 1] = np.where(covered, top + share * (open_edge - top), out[..., 1])
        return out

    def _contour(self, indices: tuple[int, ...], x: Float32Array) -> Float32Array:
        points = self._portrait.landmarks[list(indices)]
        points = points[np.argsort(points[:, 0])]
        outside = (x < points[0, 0]) | (x > points[-1, 0])
        y = np.interp(x, points[:, 0], points[:, 1])
        return np.asarray(np.where(outside, np.nan, y), dtype=np.float32)


def _undo_motion(source: Float32Array, motion: Float32Array) -> Float32Array:
    """Solve p + motion(p) = source for the resting point p of each pixel, by fixed-point iteration."""
    resting = source
    for _ in range(_INVERSION_STEPS):
        here = cv2.remap(motion, resting[..., 0], resting[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        resting = np.asarray(source - here, dtype=np.float32)
    return resting
