"""Several answers about one movement as one: mean ranks, units that most named, no more confidence than was earned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from server.predict.mllm_answer import Answer
from server.types import Float32Array

NAMED = 0.5
"""Score of an action unit that at least half of the answers named. No more, since nothing was measured by which a
higher one could be told.
"""


def probabilities(answers: Sequence[Answer], labels: Sequence[str], cap: float) -> Float32Array:
    """float32 [labels], sum 1, none above `cap`; all alike where nobody ranked them.

    One ranked answer gives its weights; of several, each label weighs one over its mean rank. They are drawn towards
    all alike until the largest is `cap`: that is the only calibration that a measured accuracy alone allows.
    """
    ranked = [answer for answer in answers if answer.outcome == "ranked"]
    alike = np.full(len(labels), 1.0 / len(labels))
    if not ranked:
        return alike.astype(np.float32)
    if len(ranked) == 1:
        weights = np.array([ranked[0].weights[label] for label in labels])
    else:
        weights = 1.0 / np.array([np.mean([answer.ranking.index(label) + 1 for answer in ranked]) for label in labels])
    row = weights / weights.sum()
    if row.max() > cap:
        row = alike + (row - alike) * (cap - alike[0]) / (row.max() - alike[0])
    return np.asarray(row, dtype=np.float32)


def action_units(answers: Sequence[Answer], units: Sequence[int]) -> Float32Array:
    """float32 [2, units], left and right of the picture: `NAMED` where at least half of those that answered say so."""
    said = [answer for answer in answers if answer.outcome == "ranked" or answer.units]
    scores = np.zeros((2, len(units)), np.float32)
    for column, unit in enumerate(units):
        for side in range(2):
            votes = sum(answer.units.get(unit, (False, False))[side] for answer in said)
            scores[side, column] = NAMED if votes and 2 * votes >= len(said) else 0.0
    return scores


def agreement(answers: Sequence[Answer]) -> float:
    """Share of the ranked answers that put the commonest first label first, 0..1; 0 where none is ranked."""
    first = [answer.ranking[0] for answer in answers if answer.outcome == "ranked"]
    return max((first.count(label) for label in first), default=0) / max(len(first), 1)
