"""Flow as colour: direction is hue, size is saturation (Baker et al., A Database and Evaluation Methodology for Optical
Flow, IJCV 2011, with the wheel of 55 hues of its supplement).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from server.types import Float32Array, Float64Array, UInt8Array

# Steps from red to yellow, yellow to green, green to cyan, cyan to blue, blue to magenta, magenta to red.
_STEPS = (15, 6, 4, 11, 13, 6)
_CORNERS = ((255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255), (255, 0, 0))


def flow_colours(u: Float32Array, v: Float32Array, full: float) -> UInt8Array:
    """uint8 [H, W, 3] of motion to the right `u` and down `v`, float32 [H, W]: white at rest, full colour at `full`
    (the unit of `u`), darker beyond.
    """
    wheel = _wheel()
    radius = np.hypot(u, v) / full
    place = (np.arctan2(-v, -u) / np.pi + 1) / 2 * (len(wheel) - 1)
    low = np.floor(place).astype(int)
    share = (place - low)[..., None]
    hue = (1 - share) * wheel[low] + share * wheel[(low + 1) % len(wheel)]
    inside = 1 - radius[..., None] * (1 - hue)
    shown = np.where(radius[..., None] <= 1, inside, hue * 0.75)
    return np.asarray(np.clip(np.round(shown * 255), 0, 255), np.uint8)


def wheel_picture(side: int) -> UInt8Array:
    """uint8 [side, side, 4]: the legend, transparent around the wheel."""
    across = np.linspace(-1, 1, side, dtype=np.float32)
    u, v = np.meshgrid(across, across)
    inside = (np.hypot(u, v) <= 1).astype(np.uint8) * 255
    return np.dstack([flow_colours(u, v, 1.0), inside])


@cache
def _wheel() -> Float64Array:
    """float64 [55, 3], 0..1."""
    parts = [
        np.linspace(start, stop, steps, endpoint=False)
        for steps, start, stop in zip(_STEPS, _CORNERS[:-1], _CORNERS[1:], strict=True)
    ]
    return np.vstack(parts) / 255
