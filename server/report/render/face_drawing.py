"""Action units on a drawn face: where each one moves the skin, which way, on which side, and how far.

Names, places and directions follow the Facial Action Coding System (Ekman, Friesen and Hager, 2002). The face is
nobody's. Sides are those of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse, FancyArrowPatch

from server.report.render.style import INK, MUTED, TINY_PT
from server.types import ActionUnit

FACS_NAMES: Mapping[int, str] = MappingProxyType(
    {
        1: "inner brow raiser", 2: "outer brow raiser", 4: "brow lowerer", 5: "upper lid raiser", 6: "cheek raiser",
        7: "lid tightener", 9: "nose wrinkler", 10: "upper lip raiser", 12: "lip corner puller", 14: "dimpler",
        15: "lip corner depressor", 16: "lower lip depressor", 17: "chin raiser", 18: "lip pucker",
        20: "lip stretcher", 23: "lip tightener", 24: "lip pressor", 25: "lips part", 26: "jaw drop",
        38: "nostril dilator", 45: "blink",
    }
)  # fmt: skip

# unit -> x (distance from the midline), y down, width, height of the place, and where it moves to: outward, up.
_PLACES: Mapping[int, tuple[float, float, float, float, float, float]] = {
    1: (0.17, -0.45, 0.20, 0.14, 0.0, 1.0),
    2: (0.50, -0.46, 0.22, 0.14, 0.0, 1.0),
    4: (0.22, -0.38, 0.30, 0.14, -0.5, -1.0),
    5: (0.36, -0.24, 0.26, 0.10, 0.0, 1.0),
    6: (0.46, 0.02, 0.34, 0.18, 0.0, 1.0),
    7: (0.36, -0.12, 0.28, 0.09, 0.0, 1.0),
    9: (0.12, 0.05, 0.14, 0.22, 0.0, 1.0),
    10: (0.14, 0.37, 0.20, 0.10, 0.0, 1.0),
    12: (0.34, 0.46, 0.18, 0.16, 1.0, 0.9),
    14: (0.38, 0.50, 0.14, 0.14, -1.0, 0.2),
    15: (0.34, 0.56, 0.16, 0.16, -0.1, -1.0),
    16: (0.13, 0.62, 0.20, 0.10, 0.0, -1.0),
    17: (0.10, 0.80, 0.20, 0.16, 0.0, 1.0),
    18: (0.24, 0.49, 0.16, 0.14, -1.0, 0.0),
    20: (0.34, 0.51, 0.18, 0.14, 1.0, -0.3),
    23: (0.20, 0.49, 0.18, 0.12, -1.0, 0.0),
    24: (0.14, 0.49, 0.24, 0.10, 0.0, -1.0),
    25: (0.14, 0.55, 0.24, 0.10, 0.0, -1.0),
    26: (0.12, 0.86, 0.24, 0.16, 0.0, -1.0),
    38: (0.14, 0.20, 0.12, 0.10, 1.0, 0.0),
    45: (0.36, -0.20, 0.28, 0.12, 0.0, -1.0),
}
_FILL = "#0072b2"
_ARROW = 0.17
_LABEL_STEP = 0.17


def draw_face(axes: Axes, units: Sequence[ActionUnit]) -> None:
    """The face with those of `units` that have a place on it, on axes of its own."""
    axes.set_axis_off()
    axes.set_xlim(-1.02, 1.02)
    axes.set_ylim(1.12, -1.05)
    axes.set_aspect("equal")
    shown = sorted((unit for unit in units if unit.au in _PLACES), key=lambda unit: _PLACES[unit.au][1])
    for side, name in ((-1, "left"), (1, "right")):
        free = -1.0
        for unit in shown:
            if unit.side in {name, "both"}:
                _place(axes, unit, side)
                free = _label(axes, unit, side, free)
    _features(axes)
    axes.text(-1.0, 1.1, "left", fontsize=TINY_PT, color=MUTED, va="bottom")
    axes.text(1.0, 1.1, "right", fontsize=TINY_PT, color=MUTED, va="bottom", ha="right")


def _place(axes: Axes, unit: ActionUnit, side: int) -> None:
    x, y, width, height, outward, up = _PLACES[unit.au]
    share = min(max(unit.intensity, 0.0), 1.0)
    # Never so pale that a weak movement cannot be seen.
    axes.add_patch(Ellipse((side * x, y), width, height, facecolor=_FILL, alpha=0.25 + 0.6 * share, linewidth=0))
    far = _ARROW * (0.7 + 0.6 * share) / max(np.hypot(outward, up), 1e-9)
    tail = (side * x, y)
    head = (side * (x + far * outward), y - far * up)
    arrow = FancyArrowPatch(tail, head, arrowstyle="-|>", mutation_scale=6, linewidth=1.1, color=INK, zorder=5)
    axes.add_patch(arrow)


def _label(axes: Axes, unit: ActionUnit, side: int, free: float) -> float:
    """The number of a unit beside the face, at `free` or below; returns where the next one may be."""
    x, y, *_ = _PLACES[unit.au]
    at, margin = max(y, free), 0.985
    axes.plot([side * x, side * margin], [y, at], color=MUTED, linewidth=0.35, zorder=1)
    ends: dict[str, Any] = {"ha": "left" if side > 0 else "right", "va": "center"}
    box: dict[str, Any] = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": MUTED, "linewidth": 0.4}
    axes.text(side * margin, at, str(unit.au), fontsize=TINY_PT, zorder=6, bbox=box, **ends)
    return at + _LABEL_STEP


def _features(axes: Axes) -> None:
    """The lines of the face, over the shaded places."""
    around = np.linspace(0, 2 * np.pi, 120)
    jaw = np.where(np.sin(around) > 0, 1 - 0.10 * np.sin(around) ** 4, 1.0)
    axes.plot(0.76 * np.cos(around) * jaw, np.sin(around), color=MUTED, linewidth=1.0)
    across = np.linspace(0, 1, 30)
    for side in (-1, 1):
        brow = 0.12 + 0.50 * across
        _line(axes, side * brow, -0.36 - 0.10 * np.sin(np.pi * (0.25 + 0.65 * across)), 2.0)
        eye = 0.22 + 0.28 * across
        _line(axes, side * eye, -0.19 - 0.065 * np.sin(np.pi * across), 1.0)
        _line(axes, side * eye, -0.19 + 0.05 * np.sin(np.pi * across), 0.8)
        axes.add_patch(Ellipse((side * 0.36, -0.195), 0.085, 0.09, facecolor=MUTED, linewidth=0))
        _line(axes, side * (0.06 + 0.09 * np.sin(np.pi * across)), 0.14 + 0.11 * across, 0.9)
    _line(axes, 0.05 * np.cos(np.pi * across), 0.25 + 0.025 * np.sin(np.pi * across), 0.9)
    mouth = np.linspace(-0.32, 0.32, 41)
    bow = 1 - (mouth / 0.32) ** 2
    _line(axes, mouth, 0.49 + 0.012 * bow, 1.0)
    _line(axes, mouth, 0.49 - 0.07 * bow + 0.025 * np.exp(-((mouth / 0.06) ** 2)), 0.8)
    _line(axes, mouth, 0.49 + 0.10 * bow, 0.8)
    _line(axes, 0.12 * (2 * across - 1), 0.74 - 0.02 * np.sin(np.pi * across), 0.6)


def _line(axes: Axes, x: np.ndarray[tuple[int, ...], np.dtype[np.float64]], y: object, width: float) -> None:
    axes.plot(x, np.asarray(y, float), color=MUTED, linewidth=width, solid_capstyle="round", zorder=4)
