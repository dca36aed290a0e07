"""Whether confidence can be believed: calibration errors, proper scores, and what withholding doubtful answers gains.

The confidence of an answer is the probability of its class. All figures are reported only; nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.evaluation import Int64Array
from server.types import Float32Array

BINS = 15
_LEAST = 1e-12
"""Least probability that is told from 0, so that one certain mistake does not make the likelihood infinite."""


@dataclass(frozen=True, slots=True)
class Reliability:
    """Expected calibration error over equally wide and over equally full bins, Brier score and mean negative log
    likelihood (natural logarithm) of the true class.
    """

    samples: int
    ece: float
    adaptive_ece: float
    brier: float
    nll: float

    def summary(self) -> dict[str, Any]:
        """JSON-able, four decimals."""
        return {"bins": BINS} | {name: round(value, 4) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Abstention:
    """What remains when answers of less confidence than `threshold` are withheld: the share that is answered, and the
    accuracy of those, None where nothing is.
    """

    threshold: float
    coverage: float
    accuracy: float | None

    def summary(self) -> dict[str, Any]:
        """JSON-able, four decimals but for the threshold."""
        accuracy = None if self.accuracy is None else round(self.accuracy, 4)
        return {"threshold": self.threshold, "coverage": round(self.coverage, 4), "accuracy": accuracy}


def measure_reliability(truth: Int64Array, probabilities: Float32Array) -> Reliability:
    """Reliability of `probabilities` float32 [N, classes] for `truth` int64 [N], N at least 1.

    The error with bins of equal width follows Guo, Pleiss, Sun and Weinberger (ICML 2017, arXiv 1706.04599), that with
    equally full bins Nguyen and O'Connor (EMNLP 2015); the score is that of Brier (1950), the sum over classes.
    """
    exact = probabilities.astype(np.float64)
    confidence, correct = exact.max(1), exact.argmax(1) == truth
    edges = np.minimum(np.ceil(confidence * BINS).astype(int) - 1, BINS - 1)
    wide = [np.flatnonzero(edges == i) for i in range(BINS)]
    # Equal confidences are ordered by their correctness, so that the order of the samples does not matter.
    full = np.array_split(np.lexsort((correct, confidence)), BINS)
    of_truth = np.take_along_axis(exact, truth[:, None], axis=1)[:, 0]
    return Reliability(
        samples=len(truth),
        ece=_calibration_error(wide, confidence, correct),
        adaptive_ece=_calibration_error(full, confidence, correct),
        brier=float(np.square(exact - np.eye(exact.shape[1])[truth]).sum(1).mean()),
        nll=float(-np.log(np.maximum(of_truth, _LEAST)).mean()),
    )


def measure_abstention(truth: Int64Array, probabilities: Float32Array, threshold: float) -> Abstention:
    """What is left of `probabilities` float32 [N, classes] for `truth` int64 [N] when `threshold` is asked for."""
    answered = probabilities.max(1) >= threshold
    right = probabilities.argmax(1)[answered] == truth[answered]
    return Abstention(threshold, float(answered.mean()), float(right.mean()) if len(right) else None)


def mean_reliability(runs: Sequence[Reliability]) -> Reliability:
    """The mean of each figure over runs on the same samples."""

    def mean(name: str) -> float:
        return float(np.mean([getattr(run, name) for run in runs]))

    return Reliability(runs[0].samples, mean("ece"), mean("adaptive_ece"), mean("brier"), mean("nll"))


def _calibration_error(
    bins: Sequence[npt.NDArray[np.int64]], confidence: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_]
) -> float:
    gaps = [len(rows) * abs(correct[rows].mean() - confidence[rows].mean()) for rows in bins if len(rows)]
    return float(sum(gaps) / len(confidence))
