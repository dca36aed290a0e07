"""Which action units a synthetic micro-expression is made of: the three sources of MiE-X.

MiE-X (Liu, Wang, Gedeon and Zheng, ECCV 2022, arXiv 2112.01730) takes the units of a micro-expression from expert
rules, from the early part of macro-expressions, or from real micro-expressions, and finds all three useful. Here the
rules are those of its public code; the early part is a fraction of a full prototype (EMFACS); and in place of
measurements on real clips stand the frequencies with which combinations were coded in CASME II and SAMM, aggregate
figures that say nothing of any person. Needs numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import numpy as np

from server.errors import OptionError
from server.types import Side

Source: TypeAlias = Literal["expert", "early_macro", "real"]
SOURCES: tuple[Source, ...] = get_args(Source)

SHARES: Mapping[Source, float] = MappingProxyType({"expert": 0.5, "real": 0.3, "early_macro": 0.2})
"""How often each source is drawn where all three are wanted."""

CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "negative": ("sadness", "fear", "anger", "disgust", "contempt"),
        "positive": ("happiness",),
        "surprise": ("surprise",),
    }
)
"""The emotions of each class, equally likely within it."""

UNILATERAL_SHARE = 0.25
"""How often an expression is one-sided; 19 % of CASME II and 34 % of SAMM are."""
WEAK_SIDE_MOST = 0.4
"""The other side of a one-sided expression moves by a share between 0 and this one."""

_ON_INTENSITY = (0.1, 0.3)
_EARLY_SHARE = (0.25, 0.5)
_MACRO_INTENSITY = (0.4, 0.8)
_MIDLINE = frozenset({16, 17, 18, 23, 24, 25, 26})

# emotion -> {unit: probability}, each unit by itself
_RULES: Mapping[str, Mapping[int, float]] = {
    "happiness": {12: 1.0, 25: 0.5, 6: 0.5},
    "surprise": {1: 1.0, 2: 1.0, 5: 0.5, 25: 0.5, 26: 0.5},
    "sadness": {4: 1.0, 1: 0.5, 15: 0.5},
    "fear": {5: 0.5, 20: 0.5, 25: 0.5, 26: 0.5},
    "anger": {4: 1.0, 7: 0.5, 23: 0.5},
    "disgust": {9: 1.0, 10: 0.5, 17: 1.0},
    "contempt": {14: 1.0},
}

# emotion -> the units of its full expression; contempt, whose prototype is a one-sided 14, is not posed in CK+
_PROTOTYPES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "happiness": ((6, 12),),
    "surprise": ((1, 2, 5, 26),),
    "sadness": ((1, 4, 15), (1, 4, 15, 17)),
    "fear": ((1, 2, 4, 5, 7, 20, 26),),
    "anger": ((4, 5, 7, 23), (4, 5, 7, 24)),
    "disgust": ((9,), (10,), (9, 15), (10, 16), (9, 17), (10, 17)),
}

# emotion -> combinations and how many clips of CASME II and SAMM together carry them. The commonest are counts; the
# rest is rounded so that each unit occurs about as often as it was coded, and combinations seen once are left out.
_CODED: Mapping[str, Mapping[tuple[int, ...], int]] = {
    "disgust": {(4, 7): 20, (4,): 12, (4, 10): 9, (4, 9): 8, (9,): 4, (10,): 4, (4, 7, 9): 4, (4, 7, 10): 4},
    "repression": {(17,): 16, (15,): 7, (15, 17): 4, (14,): 4},
    "anger": {(7,): 31, (4,): 13, (4, 7): 8},
    "contempt": {(14,): 9, (14, 17): 3},
    "sadness": {(1,): 8, (17,): 3, (15,): 2},
    "fear": {(20,): 8},
    "happiness": {(12,): 36, (6, 12): 10, (14,): 5, (7, 12): 4, (6,): 2},
    "surprise": {(1, 2): 17, (5,): 9, (1,): 6, (2,): 5, (25,): 2, (1, 2, 25): 1},
}
_CODED_CLASSES: Mapping[str, tuple[str, ...]] = {
    "negative": ("disgust", "repression", "anger", "contempt", "sadness", "fear"),
    "positive": ("happiness",),
    "surprise": ("surprise",),
}


@dataclass(frozen=True, slots=True)
class ActionUnits:
    """One expression as drawn: `intensities` (FACS number -> 0..1, 1 being FACS E), the side that moves (as seen in
    the picture), and the share of the movement that the other side makes, 1 where both move.
    """

    label: str
    emotion: str
    source: Source
    intensities: Mapping[int, float]
    side: Side
    weak_side: float


def draw_action_units(
    rng: np.random.Generator, label: str | None = None, sources: Sequence[Source] = SOURCES
) -> ActionUnits:
    """Draw one micro-expression.

    Args:
        rng: the only source of chance: the same state gives the same expression.
        label: one of `CLASSES`; any of them, equally likely, unless given.
        sources: the sources to draw from, in the proportions of `SHARES`.

    Raises:
        OptionError: a label or a source that is none, or no source at all.
    """
    if label is not None and label not in CLASSES:
        raise OptionError(f"label {label!r} is none of {', '.join(CLASSES)}", option="label")
    check_sources(sources)
    label = label or str(rng.choice(sorted(CLASSES)))
    weights = np.array([SHARES[source] for source in sources])
    source = sources[int(rng.choice(len(sources), p=weights / weights.sum()))]
    draw = {"expert": _expert, "early_macro": _early_macro, "real": _coded}[source]
    emotion, intensities = draw(rng, label)
    side, weak = _side(rng, intensities)
    return ActionUnits(label, emotion, source, dict(sorted(intensities.items())), side, weak)


def check_sources(sources: Sequence[Source]) -> None:
    """Raise `OptionError` for an empty list, a name that is no source, or one that occurs twice."""
    unknown = [source for source in sources if source not in SOURCES]
    if unknown or not sources or len(set(sources)) < len(sources):
        given = ", ".join(repr(str(source)) for source in sources) or "nothing"
        raise OptionError(f"sources are one or more of {', '.join(SOURCES)}, once each; got {given}", option="sources")


def _expert(rng: np.random.Generator, label: str) -> tuple[str, dict[int, float]]:
    """MiE-X, expert rules. Fear may come out empty: then the units are drawn again."""
    emotion = str(rng.choice(CLASSES[label]))
    while True:
        on = [unit for unit, probability in _RULES[emotion].items() if rng.random() < probability]
        if on:
            return emotion, {unit: float(rng.uniform(*_ON_INTENSITY)) for unit in on}


def _early_macro(rng: np.random.Generator, label: str) -> tuple[str, dict[int, float]]:
    """A quarter to a half of the way into a macro-expression: every unit of the prototype at that share of its peak."""
    posed = [emotion for emotion in CLASSES[label] if emotion in _PROTOTYPES]
    emotion = str(rng.choice(posed))
    prototypes = _PROTOTYPES[emotion]
    units = prototypes[int(rng.integers(len(prototypes)))]
    share = rng.uniform(*_EARLY_SHARE)
    return emotion, {unit: float(share * rng.uniform(*_MACRO_INTENSITY)) for unit in units}


def _coded(rng: np.random.Generator, label: str) -> tuple[str, dict[int, float]]:
    """A combination as often as it was coded, mostly one or two units."""
    entries = [(emotion, *entry) for emotion in _CODED_CLASSES[label] for entry in _CODED[emotion].items()]
    counts = np.array([count for _, _, count in entries], dtype=np.float64)
    emotion, units, _ = entries[int(rng.choice(len(entries), p=counts / counts.sum()))]
    return emotion, {unit: float(rng.uniform(*_ON_INTENSITY)) for unit in units}


def _side(rng: np.random.Generator, intensities: Mapping[int, float]) -> tuple[Side, float]:
    one_sided = rng.random() < UNILATERAL_SHARE
    left = rng.random() < 0.5
    weak = float(rng.uniform(0, WEAK_SIDE_MOST))
    if not one_sided or set(intensities) <= _MIDLINE:
        return "both", 1.0
    return ("left" if left else "right"), weak
