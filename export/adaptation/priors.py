"""How often the classes occur where a model is used, from its answers to samples that nobody has labelled.

Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities: A Simple
Procedure", Neural Computation 14, 2002: expectation maximisation of the shares (equation 2.9) and a likelihood ratio
test of whether they differ from those of training (section 2.3). Both believe the model's probabilities: where it
errs in one direction, that error is taken for a share.

Guards that are ours: at least `FEWEST_SAMPLES` samples; the shares are pulled towards those of training as if
`PULL_SAMPLES` more samples had come from there, so that no class can vanish; and a change that the test does not find
at `SIGNIFICANCE` is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from export.labels import LABELS
from server.errors import InputError

Float64Array: TypeAlias = npt.NDArray[np.float64]

FEWEST_SAMPLES = 30
PULL_SAMPLES = 30
SIGNIFICANCE = 0.05
_MOST_STEPS = 100_000
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class PriorEstimate:
    """`trained` and `shares` float64 [classes], the shares of training and those estimated; `p_value` is how often as
    large a change of likelihood would be seen if the shares had not changed at all.
    """

    trained: Float64Array
    shares: Float64Array
    p_value: float

    @property
    def ratio(self) -> Float64Array:
        """float64 [classes]: what the probability of each class is multiplied by."""
        return self.shares / self.trained


def estimate_priors(probabilities: npt.ArrayLike, trained: Sequence[float]) -> PriorEstimate:
    """The shares of the classes among samples to which a model gave `probabilities` [N, classes].

    `trained` are the shares that the model learnt with. Raises `InputError` for fewer than `FEWEST_SAMPLES` samples,
    for probabilities or shares that are none, and where the change is not significant.
    """
    answers, before = _checked(probabilities, trained)
    if len(answers) < FEWEST_SAMPLES:
        raise InputError(f"{len(answers)} samples say too little of their classes; {FEWEST_SAMPLES} are needed")
    p_value = _p_value(answers, before, maximise(answers, before))
    if p_value > SIGNIFICANCE:
        raise InputError(
            f"the shares of the classes do not differ from those of training (p = {p_value:.2f} on {len(answers)} "
            "samples): there is nothing to adapt to"
        )
    return PriorEstimate(before, maximise(answers, before, pull=PULL_SAMPLES), p_value)


def maximise(probabilities: Float64Array, trained: Float64Array, pull: float = 0.0) -> Float64Array:
    """The most likely shares float64 [classes]; with `pull`, as if that many samples more had the shares `trained`."""
    shares = trained
    for _ in range(_MOST_STEPS):
        before = shares
        counts = reweighted(probabilities, before / trained).sum(0)
        shares = (counts + pull * trained) / (len(probabilities) + pull)
        if np.abs(shares - before).max() < _TOLERANCE:
            break
    return shares


def reweighted(probabilities: Float64Array, ratio: Float64Array) -> Float64Array:
    """`probabilities` [N, classes] of a model, where each class is `ratio` [classes] times as frequent as it learnt."""
    weighted = probabilities * ratio
    # A sample whose only possible class has a share of nothing keeps its answer.
    sums = weighted.sum(1, keepdims=True)
    answers: Float64Array = np.where(sums > 0, weighted / np.where(sums > 0, sums, 1.0), probabilities)
    return answers


def _p_value(probabilities: Float64Array, before: Float64Array, after: Float64Array) -> float:
    """Of the likelihood ratio, by the chi-squared distribution with 2 degrees of freedom, as 3 shares have."""
    likelihood_ratio = float(np.log(np.maximum((probabilities * (after / before)).sum(1), np.finfo(float).tiny)).sum())
    return float(np.exp(-max(likelihood_ratio, 0.0)))


def _checked(probabilities: npt.ArrayLike, trained: Sequence[float]) -> tuple[Float64Array, Float64Array]:
    answers, before = np.asarray(probabilities, np.float64), np.asarray(trained, np.float64)
    classes = len(LABELS)
    if answers.ndim != 2 or answers.shape[1] != classes:
        raise InputError(f"probabilities have shape {list(answers.shape)}, not [N, {classes}]")
    if not np.isfinite(answers).all() or answers.min(initial=0) < 0 or np.abs(answers.sum(1) - 1).max(initial=0) > 1e-3:
        raise InputError("what the model gave is no probability: each row is at least 0 and sums to 1")
    if before.shape != (classes,) or not (before > 0).all() or abs(before.sum() - 1) > 1e-6:
        raise InputError(f"the shares of training are {classes} numbers above 0 that sum to 1, not {list(trained)}")
    return answers / answers.sum(1, keepdims=True), before
