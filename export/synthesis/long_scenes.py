"""Draws performances of minutes: both kinds of expression, blinks, speech in spells, head turns and changing light.

What goes on besides expressions starts when it likes: a lamp may be switched, eyes may blink and the head may turn
while a face expresses something. Speech alone makes way. The mouth that speaks does not express: an expression with a
unit of the lower face stays clear of every spell, pauses included, and only one of the upper face may happen during it.
So each movement of the mouth is either speech or an expression of the ground truth, never both.

Macro-expressions last 0.6 to 3.5 s, half of them at most 1.3 s, which lies between the means of CAS(ME)^2 and of SAMM
Long Videos (35 frames at 30 a second and 347 at 200, by the k of SOFTNet, Liong and others 2021). They reach 0.05 to
0.14 eye distances where their muscles go so far, micro-expressions 0.02 to 0.06.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.synthesis.performance import Expression, HeadTurn, LightChange, Performance
from export.synthesis.scenes import (
    APART_S,
    draw_blinks,
    draw_expression,
    draw_gazes,
    draw_light,
    draw_sway,
    draw_timing,
    draw_turn,
)
from export.synthesis.sources import draw_action_units
from export.synthesis.speech import Phrase, Speech, draw_speech
from server.errors import OptionError
from server.types import EventKind

UPPER_FACE = frozenset({1, 2, 4, 5, 6, 7})
"""Action units that speech does not need."""
MICRO_PEAK_IOD = (0.02, 0.06)
MACRO_PEAK_IOD = (0.05, 0.14)
MACRO_S = (0.6, 3.5)

_MICRO_SHARE = 0.6
_LIVELY_SHARE = 0.3
_MACRO_MEDIAN_S = 1.3
_MACRO_SPREAD = 0.45
_SPELL_S = (4.0, 10.0)
_SILENCE_S = (8.0, 24.0)
_TURN_EVERY_S = (12.0, 45.0)
_YAW_DEG = (8.0, 20.0)
_PITCH_DEG = 8.0
_WAY_S = (0.3, 0.8)
_AWAY_S = (0.4, 2.5)
_LIGHT_EVERY_S = (10.0, 40.0)
_SWITCH_S = (0.03, 0.15)
_RAMP_S = (1.0, 6.0)
_GAIN = (0.65, 1.1)
_SLOPE = 0.12
_TRIES = 1000


@dataclass(frozen=True, slots=True)
class LongScene:
    """What a long performance is drawn from: its length in seconds, and the least and the most expressions a minute."""

    seconds: float = 120.0
    expressions_per_minute: tuple[float, float] = (4.0, 6.0)

    def check(self) -> None:
        """Raise `OptionError` for what cannot be made."""
        low, high = self.expressions_per_minute
        if not 10 <= self.seconds <= 3600:
            raise OptionError(f"a long performance takes 10 to 3600 s, not {self.seconds:g}", option="seconds")
        if not 0 <= low <= high <= 10:
            raise OptionError("expressions a minute are two rising numbers from 0 to 10", option="expressions")


def draw_long_performance(rng: np.random.Generator, scene: LongScene) -> Performance:
    """One performance. The same state of `rng` gives the same one. Raises `OptionError`."""
    scene.check()
    seconds = scene.seconds
    spells = draw_spells(rng, seconds)
    count = round(float(rng.uniform(*scene.expressions_per_minute)) * seconds / 60)
    lively = bool(rng.random() < _LIVELY_SHARE)
    return Performance(
        duration_s=seconds,
        speech=Speech(tuple(phrase for spell in spells for phrase in spell)),
        expressions=_expressions(rng, seconds, count, [(each[0].times_s[0], each[-1].times_s[-1]) for each in spells]),
        blinks=draw_blinks(rng, seconds),
        gazes=draw_gazes(rng, seconds),
        sway=draw_sway(rng, lively=lively),
        turn=draw_turn(rng, lively=lively),
        light=draw_light(rng),
        noise=round(float(rng.uniform(0.7, 2.2)), 3),
        seed=int(rng.integers(2**31)),
        turns=draw_turns(rng, seconds),
        light_changes=draw_light_changes(rng, seconds),
    )


def draw_spells(rng: np.random.Generator, seconds: float) -> list[tuple[Phrase, ...]]:
    """Spells of speech of several seconds with silence between them; about a quarter of the time."""
    spells: list[tuple[Phrase, ...]] = []
    at = float(rng.uniform(1.0, _SILENCE_S[1]))
    while True:
        end = at + float(rng.uniform(*_SPELL_S))
        if end > seconds:
            return spells
        phrases = draw_speech(rng, at, end).phrases
        if phrases:
            spells.append(phrases)
        at = end + float(rng.uniform(*_SILENCE_S))


def draw_macro_timing(rng: np.random.Generator) -> tuple[float, float, float]:
    """Rise, hold and fall of one macro-expression, in seconds."""
    total = float(np.clip(_MACRO_MEDIAN_S * np.exp(_MACRO_SPREAD * rng.standard_normal()), *MACRO_S))
    rise, fall = rng.uniform(0.2, 0.4), rng.uniform(0.25, 0.5)
    return float(rise * total), float((1 - rise - fall) * total), float(fall * total)


def draw_turns(rng: np.random.Generator, seconds: float) -> tuple[HeadTurn, ...]:
    """Turns of the head to a side and back, by 8 to 20 degrees, about two a minute."""
    turns: list[HeadTurn] = []
    at = float(rng.uniform(2.0, _TURN_EVERY_S[1]))
    while True:
        yaw = float(rng.uniform(*_YAW_DEG)) * float(rng.choice([-1.0, 1.0]))
        pitch = float(rng.uniform(-_PITCH_DEG, _PITCH_DEG))
        times = (round(float(rng.uniform(*each)), 3) for each in (_WAY_S, _AWAY_S, _WAY_S))
        turn = HeadTurn(round(at, 3), round(yaw, 3), round(pitch, 3), *times)
        if turn.end_s > seconds - 0.5:
            return tuple(turns)
        turns.append(turn)
        at = turn.end_s + float(rng.uniform(*_TURN_EVERY_S))


def draw_light_changes(rng: np.random.Generator, seconds: float) -> tuple[LightChange, ...]:
    """Lamps that are switched and clouds that pass, as many of each, two or three a minute."""
    changes: list[LightChange] = []
    at = float(rng.uniform(2.0, _LIGHT_EVERY_S[1]))
    while True:
        took = float(rng.uniform(*(_SWITCH_S if rng.random() < 0.5 else _RAMP_S)))
        gain, right, down = (float(rng.uniform(*each)) for each in (_GAIN, (-_SLOPE, _SLOPE), (-_SLOPE, _SLOPE)))
        if at + took > seconds - 0.5:
            return tuple(changes)
        changes.append(LightChange(*(round(each, 4) for each in (at, took, gain, right, down))))
        at += took + float(rng.uniform(*_LIGHT_EVERY_S))


def _expressions(
    rng: np.random.Generator, seconds: float, count: int, spells: list[tuple[float, float]]
) -> tuple[Expression, ...]:
    found: list[Expression] = []
    for _ in range(count):
        kind: EventKind = "micro" if rng.random() < _MICRO_SHARE else "macro"
        timing = draw_timing(rng) if kind == "micro" else draw_macro_timing(rng)
        drawn = draw_action_units(rng)
        taken = [(each.onset_s, each.offset_s) for each in found]
        if not set(drawn.intensities) <= UPPER_FACE:
            taken += spells
        onset_s = _free(rng, seconds, sum(timing), taken)
        peak_iod = MICRO_PEAK_IOD if kind == "micro" else MACRO_PEAK_IOD
        found.append(draw_expression(rng, drawn, onset_s, timing, peak_iod, kind=kind))
    return tuple(sorted(found, key=lambda each: each.onset_s))


def _free(rng: np.random.Generator, seconds: float, length_s: float, taken: list[tuple[float, float]]) -> float:
    """When something of `length_s` can begin, with rest around it. Raises `OptionError` where nothing is free."""
    for _ in range(_TRIES):
        at = float(rng.uniform(APART_S, seconds - APART_S - length_s))
        if all(at >= stop + APART_S or at + length_s + APART_S <= start for start, stop in taken):
            return at
    raise OptionError(f"no room for {length_s:.2f} s more of expression", option="expressions")
