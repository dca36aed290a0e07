"""A movement with a part of it hidden: what a recipe would get had that part stood still.

Parts are hidden in what recipes draw on, before any of them stretches, shrinks or counts it, so that the inputs are
such as the network could have met in a face that moves less, and every recipe is treated alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from server.explanation.masks import disc
from server.types import CROP_IOD_PX, CROP_SIZE_PX, EventSample, Float32Array, FlowField, Side

UnitMotion = Sequence[tuple[int, float, float]]
"""Points of the mesh that a unit moves, on the left or on the midline: point, outward, up, in eye distances."""

_REACH_IOD = 0.15
_TINY = 1e-6


def hide_area(sample: EventSample, mask: Float32Array) -> EventSample:
    """The same where nothing moves under `mask` float32 [256, 256]: no flow and no strain, and the skin of the onset in
    all pictures.

    Strain is faded like the motion, not taken anew: the edge of the mask would show as strain that is nobody's.
    """
    kept = 1 - mask
    flow = FlowField(sample.flow.u * kept, sample.flow.v * kept, sample.flow.strain * kept)
    resting = sample.onset * mask
    return replace(sample, flow=flow, apex=sample.apex * kept + resting, course=sample.course * kept + resting)


def hide_unit(
    sample: EventSample, motion: UnitMotion, mirrored: Mapping[int, int], sides: Sequence[Side]
) -> EventSample:
    """The same without what moves near the points of an action unit in its direction.

    Args:
        sample: the movement.
        motion: of the unit, on the left.
        mirrored: the twin on the right of each point on the left; the others lie on the midline.
        sides: `left`, `right` or both of them.

    Motion the other way or across stays. Units that move the same skin the same way are hidden together: the pixels do
    not tell them apart. Of pictures, those between onset and apex are taken to have gone their share of the way.
    """
    along_x, along_y, near = _directions(sample.landmarks_crop, motion, mirrored, sides)
    flow = sample.flow
    gone = near * np.maximum(flow.u * along_x + flow.v * along_y, 0)
    u, v = gone * along_x, gone * along_y
    share = np.minimum(gone / np.maximum(np.hypot(flow.u, flow.v), _TINY), 1)
    still = FlowField(flow.u - u, flow.v - v, flow.strain * (1 - share))
    progress = _progress(sample, near)
    course = [_moved_back(picture, u, v, far) for picture, far in zip(sample.course, progress, strict=True)]
    return replace(
        sample,
        flow=still,
        apex=_moved_back(sample.apex, u, v, 1.0),
        course=np.asarray(course, np.float32).reshape(sample.course.shape),
    )


def _directions(
    landmarks: Float32Array, motion: UnitMotion, mirrored: Mapping[int, int], sides: Sequence[Side]
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Unit vectors x and y of the unit's motion, and where it shows (0..1), float32 [256, 256] each."""
    y, x = np.mgrid[:CROP_SIZE_PX, :CROP_SIZE_PX].astype(np.float32)
    x_sum, y_sum, near = (np.zeros((CROP_SIZE_PX, CROP_SIZE_PX), np.float32) for _ in range(3))
    for point, outward, up in motion:
        for side in sides if point in mirrored else sides[:1]:
            place = landmarks[mirrored.get(point, point) if side == "right" else point]
            distance = np.hypot(y - place[1], x - place[0])
            weight = np.exp(-0.5 * (distance / (_REACH_IOD * CROP_IOD_PX)) ** 2)
            x_sum += weight * (outward if side == "right" else -outward)
            y_sum -= weight * up
            near = np.maximum(near, disc(place))
    length = np.maximum(np.hypot(x_sum, y_sum), _TINY)
    along_x, along_y = (np.asarray(total / length, dtype=np.float32) for total in (x_sum, y_sum))
    return along_x, along_y, near


def _progress(sample: EventSample, near: Float32Array) -> Float32Array:
    """How far each picture of the course is on the way from onset to apex where the unit shows, 0..1: float32 [T]."""
    whole = (sample.apex - sample.onset) * near
    steps = ((sample.course - sample.onset) * whole).sum((1, 2))
    return np.asarray(np.clip(steps / max(float((whole * whole).sum()), _TINY), 0, 1), dtype=np.float32)


def _moved_back(picture: Float32Array, u: Float32Array, v: Float32Array, far: float) -> Float32Array:
    """`picture` with the skin where it would be without `far` times the motion `u`, `v`."""
    y, x = np.mgrid[:CROP_SIZE_PX, :CROP_SIZE_PX].astype(np.float32)
    moved = cv2.remap(picture, x + far * u, y + far * v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.float32)
