"""Mouth motion as in speech: syllables of 3 to 6 a second in phrases, with pauses between them.

The jaw opens once a syllable and closes, more or less, between two; the lips part, round or spread with it. Openings
are those of conversation, a lower lip that travels 0.03 to 0.15 eye distances (2 to 9 mm).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from server.types import Float64Array

ARTICULATORS = (26, 25, 18, 20)
"""The action units of speech: jaw drop, lips part, lip pucker, lip stretch."""

_SYLLABLE_HZ = (3.0, 6.0)
_PHRASE_S = (0.6, 3.0)
_PAUSE_S = (0.25, 1.5)
_LEAD_S = 0.12


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words without a pause: `times_s` are alternately the middles and ends of syllables, and `levels`
    float64 [len(times_s), 4] the intensity of each of `ARTICULATORS` then. Both ends are at rest.
    """

    times_s: tuple[float, ...]
    levels: Float64Array

    def at(self, time_s: float) -> Float64Array:
        """Intensities at `time_s`, float64 [4], in half waves from one target to the next."""
        index = int(np.searchsorted(self.times_s, time_s)) - 1
        share = (time_s - self.times_s[index]) / (self.times_s[index + 1] - self.times_s[index])
        blend = np.sin(np.pi / 2 * share) ** 2
        return np.asarray((1 - blend) * self.levels[index] + blend * self.levels[index + 1])


@dataclass(frozen=True, slots=True)
class Speech:
    """All phrases of a clip, in order."""

    phrases: tuple[Phrase, ...] = ()

    def action_units(self, time_s: float) -> dict[int, float]:
        """Intensity of each articulator at `time_s`; empty while nothing is said."""
        for phrase in self.phrases:
            if phrase.times_s[0] < time_s < phrase.times_s[-1]:
                return {au: float(a) for au, a in zip(ARTICULATORS, phrase.at(time_s), strict=True) if a > 0}
        return {}

    def intervals(self) -> list[tuple[float, float]]:
        """Start and end of each phrase, in seconds."""
        return [(round(phrase.times_s[0], 4), round(phrase.times_s[-1], 4)) for phrase in self.phrases]


def draw_speech(rng: np.random.Generator, start_s: float, end_s: float) -> Speech:
    """Phrases and pauses that fill `start_s` to `end_s`; none where there is no room for two syllables."""
    loudness = rng.uniform(0.6, 1.2)
    rate = rng.uniform(3.5, 5.5)
    phrases: list[Phrase] = []
    at = start_s + rng.uniform(0.0, 0.5)
    while True:
        phrase = _phrase(rng, at, min(at + rng.uniform(*_PHRASE_S), end_s), rate, loudness)
        if phrase is None:
            return Speech(tuple(phrases))
        phrases.append(phrase)
        at = phrase.times_s[-1] + rng.uniform(*_PAUSE_S)


def _phrase(rng: np.random.Generator, start_s: float, end_s: float, rate: float, loudness: float) -> Phrase | None:
    times = [start_s]
    levels = [np.zeros(len(ARTICULATORS))]
    while True:
        length = 1 / np.clip(rate * rng.uniform(0.75, 1.3), *_SYLLABLE_HZ)
        if times[-1] + length + _LEAD_S > end_s:
            break
        open_jaw = loudness * rng.uniform(0.12, 0.65)
        rounded = rng.uniform(0.2, 0.6) if rng.random() < 0.25 else 0.0
        spread = rng.uniform(0.1, 0.35) if rng.random() < 0.3 else 0.0
        closed = 0.0 if rng.random() < 0.25 else rng.uniform(0.05, 0.35)  # lips meet for p, b, m; else only narrow
        nucleus = np.array([open_jaw, rng.uniform(0.2, 0.8), rounded, spread if not rounded else 0.0])
        times += [times[-1] + 0.55 * length, times[-1] + length]
        levels += [nucleus, nucleus * np.array([closed, closed, 0.6, 0.6])]
    if len(times) < 5:
        return None
    times.append(times[-1] + _LEAD_S)
    levels.append(np.zeros(len(ARTICULATORS)))
    return Phrase(tuple(float(t) for t in times), np.stack(levels))
