"""Signals and pictures as a report has them, with numbers in them that tell one place from another."""

from __future__ import annotations

import base64

import numpy as np

from server.types import Report
from server.visuals import Candidate, EventPictures, FaceSignals, Field, Picture


def picture(side: int, first: int = 0) -> Picture:
    """Grey that rises along the rows, from `first`."""
    gray = (np.arange(side * side) + first).astype(np.uint8)
    return Picture(side, side, base64.b64encode(gray).decode())


def field(side: int, scale: float) -> Field:
    """Numbers below and above zero."""
    values = np.arange(-side * side // 2, side * side // 2).astype("<i2")
    return Field(side, side, scale, base64.b64encode(values).decode())


PICTURES = EventPictures(
    onset=picture(256),
    apex=picture(256, 7),
    u=field(128, 0.25),
    v=field(128, 0.5),
    strain=field(128, 0.125),
    course=(picture(128), picture(128, 9)),
    course_s=(0.5, 0.6),
    landmarks=tuple((0.5 * point, 256 - 0.5 * point) for point in range(468)),
)
SIGNALS = FaceSignals(
    track_id=1,
    every=2,
    times_s=(0.0, 0.25, 0.5),
    regions=("brow_inner_left", "chin"),
    motion_iod=((0.0, 0.01234, None), (None, 0.002, 0.0)),
    transforms=tuple((1.2, 0.1, -270.5 + shift, -0.1, 1.2, -124.25) for shift in range(3)),
    candidates=(
        Candidate("micro", 0.1, 0.2, 0.3, 0.08, ("lid_left", "lid_right"), "withdrawn", "blink"),
        Candidate("macro", 0.4, 0.9, 1.5, 0.09, ("chin",), "other-kind", "kind"),
        Candidate("micro", 0.5, 0.6, 0.8, 0.04, ("brow_inner_left",), "reported"),
        Candidate("micro", 1.6, 1.7, 1.8, 0.04, ("brow_inner_left",), "withdrawn", "head-turn"),
    ),
)


def pixels(shown: Picture) -> np.ndarray:
    """uint8 [height, width]."""
    return np.frombuffer(base64.b64decode(shown.gray), np.uint8).reshape(shown.height, shown.width)


def numbers(shown: Field) -> np.ndarray:
    """float64 [height, width], in the field's unit."""
    return np.frombuffer(base64.b64decode(shown.values), "<i2").reshape(shown.height, shown.width) * shown.scale


def shown(found: Report) -> list[object]:
    """Whatever of a report is told on request alone."""
    return [*found.signals, *(extra for event in found.events for extra in (event.pictures, event.explanation))]
