"""Reports of one event with made-up pictures, so that what is drawn of them is known."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

SIDE, HALF = 256, 128


def picture(gray: npt.ArrayLike, side: int) -> dict[str, Any]:
    """A `Picture` of `side` px: gray levels, or one level for all of it."""
    pixels = np.broadcast_to(np.asarray(gray, np.uint8), (side, side))
    return {"width": side, "height": side, "gray": base64.b64encode(pixels.tobytes()).decode()}


def field(values: npt.ArrayLike, scale: float, side: int = HALF) -> dict[str, Any]:
    """A `Field` of `side` px with a number for each, or one for all."""
    steps = np.broadcast_to(np.rint(np.asarray(values) / scale).astype("<i2"), (side, side))
    return {"width": side, "height": side, "scale": scale, "values": base64.b64encode(steps.tobytes()).decode()}


def pictures(**other: Any) -> dict[str, Any]:
    """`EventPictures` of a gray square that gets 10 levels brighter, and of quarters that move 2 px each another way.

    Left above moves to the right, right above down, left below to the left, right below up. The strain is 0.05 on the
    left and 0.1 on the right. All landmarks lie in one point, so that no outline crosses a map.
    """
    u, v = np.zeros((HALF, HALF)), np.zeros((HALF, HALF))
    low, high = slice(0, HALF // 2), slice(HALF // 2, HALF)
    u[low, low], v[low, high], u[high, low], v[high, high] = 2, 2, -2, -2
    strain = np.where(np.arange(HALF) < HALF // 2, 0.05, 0.1)
    return {
        "onset": picture(100, SIDE),
        "apex": picture(110, SIDE),
        "u": field(u, 0.001),
        "v": field(v, 0.001),
        "strain": field(strain, 0.0001),
        "course": [picture(level, HALF) for level in (100, 110, 105)],
        "course_s": [0.9, 1.1, 1.3],
        "landmarks": [[128.0, 128.0]] * 468,
        **other,
    }


def report(**event: Any) -> dict[str, Any]:
    """A report of one event; what is not given is that of a sure, positive micro-expression without extras."""
    usual = {
        "track_id": 1,
        "kind": "micro",
        "onset_s": 1.0,
        "apex_s": 1.1,
        "offset_s": 1.2,
        "onset_frame": 100,
        "apex_frame": 110,
        "offset_frame": 120,
        "label": "positive",
        "probabilities": {"negative": 0.05, "positive": 0.9, "surprise": 0.05},
        "confidence": 0.9,
        "abstained": False,
        "regions": ["mouth_corner_left"],
        "action_units": [{"au": 12, "intensity": 0.38, "side": "both", "confidence": 0.88}],
        "evidence": {"grade": "good", "reasons": []},
        "pictures": None,
        "explanation": None,
    }
    return {"events": [{**usual, **event}], "signals": []}
