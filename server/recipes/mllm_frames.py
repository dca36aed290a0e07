"""Recipe `mllm_frames`: what a multimodal language model is shown of one movement, and the numbers it cannot see.

Onset, apex and offset in one crop, as the strips of three in Lu et al. (arXiv 2403.05916) are read, but as pictures of
their own; the motion between the first two as a picture in the usual colours of optical flow (direction as hue, length
as saturation; Baker et al., IJCV 2011) at one scale for all movements, with its legend; and what the landmark tracker
measured.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from server.types import CROP_SIZE_PX, EventSample, Float32Array

PICTURES, FLOW_PICTURE, DISPLACEMENT, TIMING = "pictures", "flow_picture", "displacement", "timing"
FRAMES = 2
"""Of the course only its ends: the offset is not among what every recipe gets."""
REGIONS = 17
FULL_PX = 3.0
"""Motion that has the full colour, in px of the crop; longer motion has the same."""
LEGEND_PX = 64
DIMS: Mapping[str, tuple[int, ...]] = {
    PICTURES: (3, CROP_SIZE_PX, CROP_SIZE_PX),
    FLOW_PICTURE: (3, CROP_SIZE_PX, CROP_SIZE_PX + LEGEND_PX),
    DISPLACEMENT: (REGIONS, 2),
    TIMING: (3,),
}

_HUES = 180.0
_TEXT_PX = 14


def make(sample: EventSample) -> Mapping[str, Float32Array]:
    """`pictures` float32 [3, 256, 256]: onset, apex, offset, grey 0..255. `flow_picture` float32 [3, 256, 320]: red,
    green, blue, 0..255, the legend in the last 64 columns. `displacement` float32 [17, 2]: x (right) and y (down) of
    each region at the apex, IOD. `timing` float32 [3]: apex and offset in ms after the onset, frames per second.
    """
    displacement = np.zeros(DIMS[DISPLACEMENT], np.float32)
    displacement[: len(sample.displacement)] = sample.displacement
    onset_s, apex_s, offset_s = sample.times_s
    return {
        PICTURES: np.stack([sample.onset, sample.apex, sample.course[-1]]),
        FLOW_PICTURE: np.concatenate([flow_colours(sample.flow.u, sample.flow.v), _legend()], axis=2),
        DISPLACEMENT: displacement,
        TIMING: np.array([1000 * (apex_s - onset_s), 1000 * (offset_s - onset_s), sample.fps], np.float32),
    }


def flow_colours(u: Float32Array, v: Float32Array) -> Float32Array:
    """Red, green and blue, float32 [3, H, W], 0..255, of motion `u` (right) and `v` (down), float32 [H, W] in px.

    White stands still; red goes right, and the hue turns with the direction: yellow-green down, cyan left, violet up.
    """
    direction = np.arctan2(v, u) % (2 * np.pi)
    hue = np.asarray(direction * (_HUES / (2 * np.pi)), np.float32) % _HUES
    saturation = np.minimum(np.hypot(u, v) / FULL_PX, 1.0)
    levels = np.stack([hue, 255 * saturation, np.full_like(hue, 255)], axis=2)
    rgb = cv2.cvtColor(np.rint(levels).astype(np.uint8), cv2.COLOR_HSV2RGB)
    return np.ascontiguousarray(np.moveaxis(rgb, 2, 0), dtype=np.float32)


def _legend() -> Float32Array:
    """float32 [3, 256, 64]: the wheel of directions on white, and how long the motion at its rim is."""
    half = LEGEND_PX / 2
    y, x = np.mgrid[:LEGEND_PX, :LEGEND_PX].astype(np.float32) + 0.5 - half
    inside = np.hypot(x, y) < half - 2
    wheel = np.where(inside, flow_colours(x * FULL_PX / (half - 2), y * FULL_PX / (half - 2)), 255.0)
    legend = np.full((CROP_SIZE_PX, LEGEND_PX, 3), 255, np.uint8)
    legend[:LEGEND_PX] = np.moveaxis(wheel, 0, 2)
    for row, text in enumerate((f"rim {FULL_PX:g} px", "white 0")):
        place = (2, LEGEND_PX + (row + 1) * _TEXT_PX)
        cv2.putText(legend, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.ascontiguousarray(np.moveaxis(legend, 2, 0), dtype=np.float32)
