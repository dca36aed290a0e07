"""Renders performances of one person, fast: planes of video straight from a base picture of twice the size.

Every frame, at rest or not, goes through the same warp and the same resampling, so that what the renderer itself does
to a picture is the same at onset and at apex (MiE-X). Motion is smooth, so it is found on a grid of every fourth pixel;
lids and lips, which are not, are rendered at full resolution where they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from export.synthesis.face_layers import Eye, Mouth, depth_of, eyes_of, sample_at, turning_depth
from export.synthesis.identities import BASE_SCALE, MARGIN_PX, Identity
from export.synthesis.mesh_motion import FaceFrame, motion_field
from export.synthesis.performance import Performance, gaze_at
from server.types import Float32Array, Side, UInt8Array

_CELL = 4
_INVERSION_STEPS = 4
_REACH_PX = 24
"""How far the grid of resting points extends beyond the clip."""
_BLACK = 16.0

# Units that part the lips: how far the middle of the lower lip goes down at intensity 1 (IOD), by lip or by jaw, and
# the rows of the table that stay with the smooth warp.
_PARTING: dict[int, tuple[str, float]] = {16: ("lip", 0.05), 25: ("lip", 0.04), 26: ("jaw", 0.19)}
_LOWER_FACE = (14, 17, 84, 152)

Planes = tuple[Float32Array, Float32Array]


class ClipRenderer:
    """Frames of performances by one person. Keeps one field of motion for each unit and side that was needed."""

    def __init__(self, identity: Identity) -> None:
        self._size = identity.size
        self._identity = identity
        self._mesh = identity.landmarks
        self._face = FaceFrame.of(self._mesh)
        self._eyes = eyes_of(self._mesh)
        self._mouth = Mouth(self._mesh)
        cells = self._size // _CELL + 2
        ticks = _CELL * np.arange(-1, cells - 1, dtype=np.float32) + (_CELL - 1) / 2
        self._output = np.stack(np.meshgrid(ticks, ticks), axis=-1)
        reach = _REACH_PX // _CELL
        rest_ticks = _CELL * np.arange(-reach, self._size // _CELL + reach, dtype=np.float32) + (_CELL - 1) / 2
        self._rest_origin = float(rest_ticks[0])
        self._rest = np.stack(np.meshgrid(rest_ticks, rest_ticks), axis=-1)
        self._fields: dict[tuple[int, Side, float], Float32Array] = {}
        self._depth = depth_of(self._mesh, self._rest)
        self._turning = turning_depth(self._mesh, self._rest)
        self._lip_drop, self._jaw_drop = self._mouth.drop(self._rest)
        full = np.stack(np.meshgrid(*2 * (self._base_ticks(),)), axis=-1)
        self._interior = self._mouth.interior(identity.luma, identity.chroma, full)
        self._upper_mask, self._lower_mask = self._mouth.masks(full)
        pixels = np.arange(self._size, dtype=np.float32) / (self._size - 1) * 2 - 1
        self._slope_x, self._slope_y = pixels[None, :], pixels[:, None]

    @property
    def iod_px(self) -> float:
        """Eye distance of the resting face, px."""
        return self._face.iod_px

    def frames(self, performance: Performance, fps: float) -> Iterator[UInt8Array]:
        """Each frame as uint8 [3 H / 2, W], planes of 4:2:0 video; round(duration_s * fps) of them. Same performance,
        same bytes.
        """
        return self.frames_at(performance, [index / fps for index in range(round(performance.duration_s * fps))])

    def frames_at(self, performance: Performance, times_s: Sequence[float]) -> Iterator[UInt8Array]:
        """The frames at these times, in seconds, each with noise of its own."""
        rng = np.random.default_rng(performance.seed)
        noise = rng.standard_normal((2 * self._size, 2 * self._size), dtype=np.float32) * np.float32(performance.noise)
        for time_s in times_s:
            luma, chroma = self._picture(performance, time_s)
            gain, right, down = performance.lit(time_s)
            lit = (luma - np.float32(_BLACK)) * self._light(gain, right, down) + np.float32(_BLACK)
            row, column = rng.integers(self._size, size=2)
            # A window of one large picture of noise, elsewhere in each frame: as good as new noise, but quick.
            lit += noise[row : row + self._size, column : column + self._size]
            planes = np.concatenate([lit.ravel(), chroma[..., 0].ravel(), chroma[..., 1].ravel()])
            np.clip(planes, 0, 255, out=planes)
            yield np.rint(planes, out=planes).astype(np.uint8).reshape(self._size * 3 // 2, self._size)

    def _light(self, gain: float, right: float, down: float) -> Float32Array:
        across = np.float32(gain) + np.float32(right) * self._slope_x
        return np.asarray(across + np.float32(down) * self._slope_y, dtype=np.float32)

    def _base_ticks(self) -> Float32Array:
        side = self._identity.luma.shape[0]
        return np.asarray((np.arange(side, dtype=np.float32) + 0.5) / BASE_SCALE - 0.5 - MARGIN_PX, np.float32)

    def _picture(self, performance: Performance, time_s: float) -> Planes:
        turned = self._undo_head(performance, time_s)
        units = performance.action_units(time_s)
        motion = self._motion(performance, units, time_s)
        points = self._full(_invert(turned, motion, self._rest_origin))
        self._undo_eyes(points, performance, time_s)
        luma, chroma = self._sample(points, self._identity.luma, self._identity.chroma)
        drop = self._drop(units)
        if drop is not None:
            self._part_lips((luma, chroma), points, turned=turned, motion=motion, drop=drop)
        return luma, chroma

    def _undo_head(self, performance: Performance, time_s: float) -> Float32Array:
        """Where each point of the output grid lies once the in-plane pose is undone."""
        pose = performance.sway.pose(time_s)
        angle = np.deg2rad(pose.roll_deg)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], dtype=np.float32)
        shift = np.array([pose.x_iod, pose.y_iod], dtype=np.float32) * self._face.iod_px
        back = (self._output - self._face.centre - shift) @ turn.T / np.float32(pose.scale) + self._face.centre
        return np.asarray(back, dtype=np.float32)

    def _motion(
        self, performance: Performance, units: dict[tuple[int, Side, float], float], time_s: float
    ) -> Float32Array:
        """Displacement of resting points by muscles and by a turn of the head, px."""
        yaw, pitch = performance.turn.angles(time_s)
        total = np.stack([np.float32(np.sin(yaw)) * self._depth, np.float32(-np.sin(pitch)) * self._depth], axis=-1)
        yaw, pitch = performance.turned(time_s)
        if yaw or pitch:
            total += self._turned(yaw, pitch)
        for key, intensity in units.items():
            total += np.float32(intensity) * self._field(*key)
        return np.asarray(total, dtype=np.float32)

    def _turned(self, yaw: float, pitch: float) -> Float32Array:
        before, beside = self._turning
        x = np.float32(np.sin(yaw)) * before + np.float32(np.cos(yaw) - 1) * beside[..., 0]
        y = np.float32(np.sin(pitch)) * before + np.float32(np.cos(pitch) - 1) * beside[..., 1]
        return np.asarray(np.stack([x, y], axis=-1), dtype=np.float32)

    def _field(self, au: int, side: Side, weak_side: float) -> Float32Array:
        key = (au, side, weak_side)
        if key not in self._fields:
            without = _LOWER_FACE if au in _PARTING else ()
            self._fields[key] = motion_field(au, side, self._mesh, self._rest, weak_side=weak_side, without=without)
        return self._fields[key]

    def _drop(self, units: dict[tuple[int, Side, float], float]) -> Float32Array | None:
        """Downward motion of the lower layer on the grid of resting points, px; None while the lips do not part."""
        amounts = {"lip": 0.0, "jaw": 0.0}
        for (au, _, _), intensity in units.items():
            if au in _PARTING:
                how, most = _PARTING[au]
                amounts[how] += intensity * most * self._face.iod_px
        if not any(amounts.values()):
            return None
        drop = amounts["lip"] * self._lip_drop + amounts["jaw"] * self._jaw_drop
        return np.asarray(drop, dtype=np.float32)

    def _full(self, coarse: Float32Array) -> Float32Array:
        """A grid of every fourth pixel, one cell wider on each side, at every pixel."""
        side = coarse.shape[0] * _CELL
        wide = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        return np.ascontiguousarray(wide[_CELL : _CELL + self._size, _CELL : _CELL + self._size])

    def _sample(self, points: Float32Array, luma: Float32Array, chroma: Float32Array) -> Planes:
        """Planes at resting `points` [h, w, 2], h and w even: luma [h, w], chroma [h / 2, w / 2, 2]."""
        at = (points + np.float32(MARGIN_PX + 0.5)) * np.float32(BASE_SCALE) - np.float32(0.5)
        height, width = points.shape[:2]
        coarse = cv2.resize(points, (width // 2, height // 2), interpolation=cv2.INTER_AREA) + np.float32(MARGIN_PX)
        return (
            sample_at(luma, at),
            sample_at(chroma, coarse),
        )

    def _window(self, box: tuple[float, float, float, float], points: Float32Array) -> tuple[slice, slice] | None:
        """Rows and columns of the output, even, that show a box of the resting face, with room for a pose."""
        coarse = points[::_CELL, ::_CELL]
        pad = 0.06 * self._face.iod_px
        inside = (
            (coarse[..., 0] > box[0] - pad) & (coarse[..., 0] < box[2] + pad)
            & (coarse[..., 1] > box[1] - pad) & (coarse[..., 1] < box[3] + pad)
        )  # fmt: skip
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if not len(rows):
            return None
        return tuple(  # type: ignore[return-value]
            slice(_CELL * int(each[0]), min(_CELL * (int(each[-1]) + 1), self._size)) for each in (rows, columns)
        )

    def _undo_eyes(self, points: Float32Array, performance: Performance, time_s: float) -> None:
        """Lids and gaze, in place."""
        level = max((blink.level(time_s) for blink in performance.blinks), default=0.0)
        gaze = gaze_at(performance.gazes, time_s)
        if level == 0.0 and gaze == (0.0, 0.0):
            return
        for eye in self._eyes:
            window = self._window(eye.box, points)
            if window is not None:
                self._undo_eye(points[window], eye, level, gaze)

    def _undo_eye(self, part: Float32Array, eye: Eye, level: float, gaze: tuple[float, float]) -> None:
        if level > 0:
            part[..., 1] = eye.fold(part[..., 0], part[..., 1], level)
        if gaze != (0.0, 0.0):
            free = eye.opening(part[..., 0], part[..., 1])
            part -= free[..., None] * np.array(gaze, np.float32) * np.float32(self._face.iod_px)

    def _part_lips(
        self,
        planes: Planes,
        points: Float32Array,
        *,
        turned: Float32Array,
        motion: Float32Array,
        drop: Float32Array,
    ) -> None:
        """Lower lip and jaw over the interior of the mouth, in place."""
        luma, chroma = planes
        x0, y0, x1, y1 = self._mouth.box
        window = self._window((x0, y0, x1, y1 + float(drop.max())), points)
        if window is None:
            return
        rows, columns = window
        half = (slice(rows.start // 2, rows.stop // 2), slice(columns.start // 2, columns.stop // 2))
        lower_motion = motion.copy()
        lower_motion[..., 1] += drop
        lowered = np.ascontiguousarray(self._full(_invert(turned, lower_motion, self._rest_origin))[window])
        upper = np.ascontiguousarray(points[window])
        jaw_luma, jaw_chroma = self._sample(lowered, self._identity.luma, self._identity.chroma)
        in_luma, in_chroma = self._sample(upper, *self._interior)
        up = self._mask(self._upper_mask, upper)
        low = self._mask(self._lower_mask, lowered)
        for plane, jaw, inner, above, below in (
            (luma[window], jaw_luma, in_luma, up, low),
            (chroma[half], jaw_chroma, in_chroma, _halved(up)[..., None], _halved(low)[..., None]),
        ):
            plane[:] = below * jaw + (1 - below) * (above * plane + (1 - above) * inner)

    def _mask(self, mask: Float32Array, points: Float32Array) -> Float32Array:
        at = (points + np.float32(MARGIN_PX + 0.5)) * np.float32(BASE_SCALE) - np.float32(0.5)
        return sample_at(mask, at)


def _halved(mask: Float32Array) -> Float32Array:
    return np.asarray(cv2.resize(mask, (mask.shape[1] // 2, mask.shape[0] // 2), interpolation=cv2.INTER_AREA))


def _invert(points: Float32Array, motion: Float32Array, origin: float) -> Float32Array:
    """Solve r + motion(r) = point for the resting point r of each of `points`, by fixed-point iteration."""
    resting = points
    for _ in range(_INVERSION_STEPS):
        cell = (resting - np.float32(origin)) / np.float32(_CELL)
        here = sample_at(motion, cell)
        resting = np.asarray(points - here, dtype=np.float32)
    return resting
