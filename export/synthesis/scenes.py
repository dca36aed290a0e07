"""Draws performances: which expressions, when, and what else goes on meanwhile.

Timing follows the annotated clips of CASME II and SAMM: a whole of 0.35 s (sd 0.10, 0.12 to 0.50), rising for 0.49 of
it (sd 0.16), at most 0.33 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from export.synthesis.mesh_motion import peak_displacement
from export.synthesis.performance import Expression, Gaze, Light, Performance, Turn
from export.synthesis.script import Blink, Sway
from export.synthesis.sources import SOURCES, ActionUnits, Source, draw_action_units
from export.synthesis.speech import Speech, draw_speech
from server.types import EventKind, Side

APART_S = 0.35
"""Rest between an expression and whatever comes before or after it: another one, or the end of the clip."""
_BLINKS_PER_S = 0.28


@dataclass(frozen=True, slots=True)
class SceneOptions:
    """What a scene is drawn from.

    `expressions` is the least and the most number of micro-expressions; `peak_iod`, where given, the range of the
    largest displacement of a landmark to which the drawn intensities are scaled. The others are probabilities that a
    clip has blinks, speech, gaze shifts, and a head that moves more than a sitting person's does.
    """

    seconds: tuple[float, float] = (2.5, 4.0)
    expressions: tuple[int, int] = (1, 1)
    sources: Sequence[Source] = SOURCES
    peak_iod: tuple[float, float] | None = None
    blinks: float = 0.5
    speech: float = 0.1
    gaze: float = 0.2
    lively: float = 0.3


def draw_performance(rng: np.random.Generator, options: SceneOptions, label: str | None = None) -> Performance:
    """One performance; all expressions of it have the class `label`, or each its own where None.

    Speech, where drawn, goes on all through the clip; expressions happen while it does.
    """
    duration = round(float(rng.uniform(*options.seconds)), 2)
    count = int(rng.integers(options.expressions[0], options.expressions[1] + 1))
    expressions = _expressions(rng, options, label, count, duration)
    lively = bool(rng.random() < options.lively)
    return Performance(
        duration_s=duration,
        expressions=expressions,
        blinks=draw_blinks(rng, duration) if rng.random() < options.blinks else (),
        gazes=draw_gazes(rng, duration) if rng.random() < options.gaze else (),
        speech=draw_speech(rng, 0.2, duration - 0.1) if rng.random() < options.speech else Speech(),
        sway=draw_sway(rng, lively=lively),
        turn=draw_turn(rng, lively=lively),
        light=draw_light(rng),
        noise=round(float(rng.uniform(0.7, 2.2)), 3),
        seed=int(rng.integers(2**31)),
    )


def draw_timing(rng: np.random.Generator) -> tuple[float, float, float]:
    """Rise, hold and fall of one micro-expression, in seconds."""
    total = _truncated(rng, 0.35, 0.10, 0.12, 0.50)
    share = _truncated(rng, 0.49, 0.16, 0.2, min(0.8, 0.33 / total))
    hold = min(float(rng.uniform(0, 0.06)), 0.5 * (1 - share) * total)
    return share * total, hold, (1 - share) * total - hold


def _truncated(rng: np.random.Generator, mean: float, deviation: float, low: float, high: float) -> float:
    while True:
        value = float(rng.normal(mean, deviation))
        if low <= value <= high:
            return value


def _expressions(
    rng: np.random.Generator, options: SceneOptions, label: str | None, count: int, duration: float
) -> tuple[Expression, ...]:
    timings = [draw_timing(rng) for _ in range(count)]
    room = duration - sum(sum(timing) for timing in timings) - (count + 1) * APART_S
    cuts = np.sort(rng.uniform(0, max(room, 0.0), count))
    expressions: list[Expression] = []
    spent = APART_S
    for timing, cut in zip(timings, cuts, strict=True):
        drawn = draw_action_units(rng, label, options.sources)
        expressions.append(draw_expression(rng, drawn, spent + float(cut), timing, options.peak_iod))
        spent += sum(timing) + APART_S
    return tuple(expressions)


def draw_expression(
    rng: np.random.Generator,
    drawn: ActionUnits,
    onset_s: float,
    timing: tuple[float, float, float],
    peak_iod: tuple[float, float] | None,
    *,
    kind: EventKind = "micro",
) -> Expression:
    """An expression of these units and this rise, hold and fall, scaled to a peak drawn from `peak_iod`."""
    intensities = dict(drawn.intensities)
    if peak_iod is not None:
        # No muscle does more than its most: a unit that moves little cannot reach a high peak.
        scale = min(rng.uniform(*peak_iod) / peak_displacement(intensities), 1 / max(intensities.values()))
        intensities = {au: a * float(scale) for au, a in intensities.items()}
    rise, hold, fall = timing
    sides: dict[int, Side] = dict.fromkeys(intensities, drawn.side)
    return Expression(
        label=drawn.label,
        emotion=drawn.emotion,
        source=drawn.source,
        kind=kind,
        action_units=intensities,
        sides=sides,
        weak_side=drawn.weak_side,
        onset_s=round(onset_s, 4),
        apex_s=round(onset_s + rise, 4),
        hold_s=round(hold, 4),
        offset_s=round(onset_s + rise + hold + fall, 4),
    )


def draw_blinks(rng: np.random.Generator, duration: float) -> tuple[Blink, ...]:
    """Blinks at random times, 17 a minute."""
    blinks: list[Blink] = []
    at = float(rng.uniform(0.1, 1.5))
    while at < duration - 0.3:
        blinks.append(Blink(round(at, 3), depth=round(float(rng.uniform(0.8, 1.0)), 3)))
        at += 0.35 + float(rng.exponential(1 / _BLINKS_PER_S))
    return tuple(blinks)


def draw_gazes(rng: np.random.Generator, duration: float) -> tuple[Gaze, ...]:
    """Gaze shifts, 0.3 to 2 s apart."""
    gazes: list[Gaze] = []
    at = float(rng.uniform(0.2, 1.5))
    while at < duration:
        x, y = rng.uniform(-0.05, 0.05), rng.uniform(-0.02, 0.02)
        gazes.append(Gaze(round(at, 3), round(float(x), 4), round(float(y), 4)))
        at += float(rng.uniform(0.3, 2.0))
    return tuple(gazes)


def draw_sway(rng: np.random.Generator, *, lively: bool) -> Sway:
    """A head that moves in the picture's plane, as that of a sitting person or of a lively one."""
    most = (0.15, 3.0, 0.025) if lively else (0.03, 0.8, 0.008)
    shift, roll, scale = (round(float(rng.uniform(0.2, 1.0) * m), 4) for m in most)
    return Sway(shift_iod=shift, roll_deg=roll, scale=scale, seed=int(rng.integers(2**31)))


def draw_turn(rng: np.random.Generator, *, lively: bool) -> Turn:
    """The same out of the picture's plane."""
    most = (4.0, 2.5) if lively else (0.8, 0.6)
    yaw, pitch = (round(float(rng.uniform(0.2, 1.0) * m), 4) for m in most)
    return Turn(yaw_deg=yaw, pitch_deg=pitch, seed=int(rng.integers(2**31)))


def draw_light(rng: np.random.Generator) -> Light:
    """Light that is never quite even nor quite steady."""
    slope, drift, flicker = (round(float(rng.uniform(0, most)), 5) for most in (0.12, 0.04, 0.006))
    mains = float(rng.choice([0.0, 10.0, 20.0]))
    return Light(slope=slope, drift=drift, flicker=flicker, mains_hz=mains, seed=int(rng.integers(2**31)))
