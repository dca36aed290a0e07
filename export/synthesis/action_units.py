"""What each facial action unit moves, and which units make up each class.

Positions are in crop units (0..1, x to the right, y down) for the image-left half of a reference face; the right half
is its mirror image. Motion directions are in the same axes, per unit of intensity. The tables follow the Facial Action
Coding System (Ekman, Friesen and Hager, 2002) and the labelling of CASME II; that micro-expressions can be synthesised
from action units alone is due to Liu, Wang, Gedeon and Zheng (MiE-X, ECCV 2022, arXiv 2112.01730).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BLINK = 45
GAZE = 61
"""FACS 61..64 are the four gaze directions; one number stands for all of them here."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A point of the face: `x` for the reference face, `offset` below the eye line or the mouth line."""

    x: float
    line: Literal["eyes", "mouth"]
    offset: float


@dataclass(frozen=True, slots=True)
class Bump:
    """A local motion: direction `dx`, `dy` at an anchor, spread `sigma_x`, `sigma_y`."""

    anchor: str
    dx: float
    dy: float
    sigma_x: float
    sigma_y: float


@dataclass(frozen=True, slots=True)
class Act:
    """One action unit in a combination; `unilateral` units always move one side more than the other."""

    unit: int
    unilateral: bool = False


@dataclass(frozen=True, slots=True)
class Combination:
    """Action units that occur together, with their relative frequency within a class."""

    weight: float
    acts: tuple[Act, ...]


ANCHORS: dict[str, Anchor] = {
    "inner_brow": Anchor(0.40, "eyes", -0.085),
    "mid_brow": Anchor(0.23, "eyes", -0.105),
    "outer_brow": Anchor(0.08, "eyes", -0.085),
    "eye": Anchor(0.20, "eyes", 0.0),
    "upper_lid": Anchor(0.20, "eyes", -0.012),
    "lower_lid": Anchor(0.20, "eyes", 0.038),
    "outer_eye": Anchor(0.05, "eyes", 0.01),
    "nose_root": Anchor(0.47, "eyes", 0.02),
    "glabella": Anchor(0.48, "eyes", -0.10),
    "forehead": Anchor(0.20, "eyes", -0.20),
    "inner_forehead": Anchor(0.36, "eyes", -0.20),
    "outer_forehead": Anchor(0.10, "eyes", -0.20),
    "cheekbone": Anchor(0.17, "eyes", 0.16),
    "infraorbital": Anchor(0.31, "eyes", 0.22),
    "cheek": Anchor(0.24, "mouth", -0.14),
    "upper_cheek": Anchor(0.21, "mouth", -0.25),
    "nose_wing": Anchor(0.375, "mouth", -0.21),
    "nasolabial": Anchor(0.29, "mouth", -0.10),
    "lip_corner": Anchor(0.32, "mouth", -0.01),
    "upper_lip": Anchor(0.43, "mouth", -0.045),
    "lower_lip": Anchor(0.42, "mouth", 0.045),
    "chin": Anchor(0.45, "mouth", 0.085),
    "lateral_chin": Anchor(0.32, "mouth", 0.08),
    "jaw": Anchor(0.42, "mouth", 0.12),
    "lower_cheek": Anchor(0.18, "mouth", 0.03),
}

BUMPS: dict[int, tuple[Bump, ...]] = {
    1: (
        Bump("inner_brow", 0, -1, 0.10, 0.055),
        Bump("inner_forehead", 0, -0.75, 0.13, 0.10),
        Bump("mid_brow", 0, -0.5, 0.10, 0.055),
    ),
    2: (
        Bump("outer_brow", 0, -1, 0.11, 0.06),
        Bump("mid_brow", 0, -0.9, 0.11, 0.055),
        Bump("outer_forehead", 0, -0.65, 0.15, 0.10),
    ),
    4: (
        Bump("inner_brow", 0.8, 0.6, 0.06, 0.045),
        Bump("mid_brow", 0.4, 0.8, 0.12, 0.05),
        Bump("glabella", 0.05, 0.3, 0.07, 0.08),
        Bump("forehead", 0.35, 0.6, 0.17, 0.11),
        Bump("upper_lid", 0.1, 0.35, 0.10, 0.035),
    ),
    5: (Bump("upper_lid", 0, -1, 0.085, 0.03), Bump("mid_brow", 0, -0.12, 0.12, 0.05)),
    6: (
        Bump("cheekbone", 0.1, -0.75, 0.12, 0.08),
        Bump("lower_lid", 0, -0.55, 0.10, 0.035),
        Bump("outer_eye", 0.5, 0, 0.06, 0.06),
    ),
    7: (Bump("lower_lid", 0.12, -0.8, 0.09, 0.03), Bump("upper_lid", 0, 0.6, 0.09, 0.028)),
    9: (
        Bump("nose_wing", 0.1, -0.9, 0.07, 0.09),
        Bump("infraorbital", 0.1, -0.7, 0.09, 0.08),
        Bump("nose_root", 0, -0.35, 0.05, 0.07),
        Bump("inner_brow", 0.4, 0.5, 0.08, 0.05),
        Bump("upper_lip", 0, -0.4, 0.08, 0.04),
    ),
    10: (
        Bump("upper_lip", 0, -0.8, 0.09, 0.04),
        Bump("nasolabial", -0.2, -0.75, 0.08, 0.08),
        Bump("nose_wing", -0.1, -0.5, 0.06, 0.06),
        Bump("infraorbital", 0, -0.35, 0.09, 0.08),
    ),
    12: (
        Bump("lip_corner", -0.45, -0.6, 0.07, 0.06),
        Bump("cheek", -0.3, -0.9, 0.10, 0.10),
        Bump("nasolabial", -0.4, -0.5, 0.06, 0.08),
        Bump("upper_cheek", -1, -0.5, 0.10, 0.10),
        Bump("lower_cheek", -0.15, -0.3, 0.10, 0.08),
    ),
    14: (
        Bump("lip_corner", -0.8, 0.02, 0.07, 0.06),
        Bump("lower_cheek", -0.35, 0, 0.09, 0.09),
        Bump("nasolabial", -0.35, 0.05, 0.07, 0.07),
    ),
    15: (Bump("lip_corner", -0.15, 1, 0.07, 0.055), Bump("lateral_chin", -0.05, 0.55, 0.08, 0.06)),
    16: (Bump("lower_lip", 0, 1, 0.10, 0.04), Bump("chin", 0, 0.4, 0.1, 0.05)),
    17: (
        Bump("chin", 0, -1, 0.12, 0.05),
        Bump("lower_lip", 0, -0.65, 0.11, 0.035),
        Bump("upper_lip", 0, -0.2, 0.09, 0.03),
    ),
    18: (Bump("lip_corner", 0.8, 0, 0.07, 0.06), Bump("lower_cheek", 0.3, 0, 0.09, 0.08)),
    20: (
        Bump("lip_corner", -1, 0.15, 0.08, 0.07),
        Bump("lower_cheek", -0.5, 0.15, 0.10, 0.09),
        Bump("lateral_chin", -0.35, 0.1, 0.08, 0.06),
    ),
    23: (
        Bump("upper_lip", 0.05, 0.4, 0.10, 0.03),
        Bump("lower_lip", 0.05, -0.5, 0.10, 0.035),
        Bump("lip_corner", 0.45, 0, 0.06, 0.05),
    ),
    24: (
        Bump("upper_lip", 0, 0.5, 0.11, 0.03),
        Bump("lower_lip", 0, -0.8, 0.11, 0.035),
        Bump("chin", 0, -0.4, 0.12, 0.05),
    ),
    25: (
        Bump("upper_lip", 0, -0.3, 0.09, 0.03),
        Bump("lower_lip", 0, 0.9, 0.10, 0.04),
        Bump("chin", 0, 0.3, 0.12, 0.06),
    ),
    26: (
        Bump("jaw", 0, 1, 0.20, 0.11),
        Bump("lower_lip", 0, 0.8, 0.10, 0.05),
        Bump("lateral_chin", 0.05, 0.6, 0.12, 0.09),
    ),
    38: (Bump("nose_wing", -0.7, -0.1, 0.045, 0.045),),
    BLINK: (
        Bump("upper_lid", 0, 1.2, 0.085, 0.032),
        Bump("lower_lid", 0, -0.3, 0.085, 0.025),
        Bump("mid_brow", 0, 0.2, 0.12, 0.05),
    ),
    GAZE: (Bump("eye", 1, 0, 0.05, 0.03),),
}
UNITS: tuple[int, ...] = tuple(BUMPS)

INCIDENTAL_UNITS: tuple[int, ...] = (1, 2, 4, 5, 6, 7, 10, 12, 14, 15, 17, 18, 24, 25, 38)
"""Units that may occur weakly beside those of the class."""


def _combinations(text: str) -> tuple[Combination, ...]:
    combinations = []
    for entry in text.split():
        units, _, weight = entry.partition(":")
        acts = tuple(Act(int(unit.lstrip("L")), unit.startswith("L")) for unit in units.split("+"))
        combinations.append(Combination(float(weight), acts))
    return tuple(combinations)


COMBINATIONS: dict[str, tuple[Combination, ...]] = {
    "negative": _combinations(
        "4:24 4+7:16 14:6 10:5 17:5 7:4 4+9:4 9:4 15:4 1+4:4 4+7+9:3 4+6+7+9:3 L14:3 15+17:3 4+7+10:2 9+10:2 20:2 24:2 "
        "L12+L14:1.5 L10+L14:1.5 14+17:1.5 4+15:1.5 4+17:1.5 23:1.5 1+4+15:1 20+25:1 1+2+4+20:1 4+24:1 4+14:1 4+5:1 "
        "7+20:1 1+2+4:1 7+17:1 4+16:1 12+15:.7 6+7:.7 4+38:.7 18:.7"
    ),
    "positive": _combinations(
        "12:38 6+12:24 L12:9 6:4 12+25:4 L6+L12:3 6+12+25:3 12+14:3 12+17:2 12+24:2 6+7+12:1.5 12+15:1 "
        "1+2+12:1 14:1 10+12:1"
    ),
    "surprise": _combinations(
        "1+2:34 1+2+5:10 L1+L2:8 2:5 5:5 1+2+25:5 L2:4 1:4 25:4 1+2+26:3 25+26:3 1+2+4:3 1+2+5+26:2 "
        "26:2 1+2+14:1 1+2+7:1"
    ),
}
"""Units joined by +, an L before those that are one-sided, and the weight of the combination within its class."""
