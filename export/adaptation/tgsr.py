"""Transfer group sparse regression: a linear classifier of region features that knows the target's mean.

Jiang, Zong, Zheng, Liu and Wei, "Seeking Salient Facial Regions for Cross-Database Micro-Expression Recognition",
ICPR 2022, arXiv 2111.15361. With one-hot labels L of the labelled source X_s and unlabelled target samples X_t:

    min over C   ||L - C' X_s||^2  +  lambda sum_i ||C_i||_F  +  xi ||C' (mean X_s - mean X_t)||^2

C_i are the rows of one region. lambda is never given: each step of the inexact augmented Lagrangian method takes the
one at which `kappa` regions survive. There is no bias term and the features are not scaled, as in the authors' code,
whose signs of the multiplier are used (those printed in the paper do not follow from its own Lagrangian).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from server.errors import InputError, OptionError

Float64Array: TypeAlias = npt.NDArray[np.float64]

FIRST_PENALTY = 1e-3
PENALTY_GROWTH = 1.1
LARGEST_PENALTY = 1e15
KAPPAS = (85, 46, 28, 12)
"""How many of the regions may survive: some of the settings that the paper tries."""
TOLERANCE = 1e-8
MOST_ITERATIONS = 10_000


@dataclass(frozen=True, slots=True)
class Regression:
    """`coefficients` float64 [D, classes], all zero in a region that did not survive; `kept` int64 [kappa] names the
    regions that did, ascending.
    """

    coefficients: Float64Array
    kept: npt.NDArray[np.int64]
    iterations: int


def fit(
    source: Float64Array,
    labels: npt.NDArray[np.int64],
    target: Float64Array | None,
    *,
    regions: int,
    kappa: int,
    xi: float,
    classes: int = 3,
) -> Regression:
    """Regress `labels` int64 [N_s] on `source` float64 [D, N_s], whose rows are `regions` blocks of one size.

    `kappa` regions survive; `xi` weighs the distance of the means of source and `target` float64 [D, N_t], which may be
    None where `xi` is 0. Raises `OptionError` for numbers out of range, `InputError` for shapes that do not fit, labels
    out of range, a class without a sample, values that are not finite, and where the steps do not converge.
    """
    _check(source, labels, target, regions=regions, kappa=kappa, xi=xi, classes=classes)
    features, wanted = source, np.eye(classes)[labels].T
    if target is not None and xi > 0:
        gap = source.mean(1) - target.mean(1)
        # The distance of the means is one more sample, whose label is zero.
        features = np.column_stack([source, np.sqrt(xi) * gap])
        wanted = np.column_stack([wanted, np.zeros(classes)])
    return _solve(features, wanted, regions, kappa)


def _solve(features: Float64Array, wanted: Float64Array, regions: int, kappa: int) -> Regression:
    basis, singular, _ = np.linalg.svd(features, full_matrices=False)
    pull = 2.0 * features @ wanted.T
    sparse = np.ones_like(pull)
    multipliers = np.zeros_like(pull)
    penalty = FIRST_PENALTY
    for iteration in range(1, MOST_ITERATIONS + 1):
        start = sparse + (pull - multipliers) / penalty
        # (2 X X' / penalty + 1)^-1 without the D x D matrix: only the span of the samples is shrunk.
        shrunk = 1.0 / (1.0 + 2.0 * singular**2 / penalty) - 1.0
        dense = start + basis @ (shrunk[:, None] * (basis.T @ start))
        sparse = _keep_largest(dense + multipliers / penalty, regions, kappa)
        error = dense - sparse
        if np.abs(error).max() < TOLERANCE:
            norms = np.linalg.norm(sparse.reshape(regions, -1), axis=1)
            return Regression(sparse, np.flatnonzero(norms), iteration)
        multipliers = multipliers + penalty * error
        penalty = min(LARGEST_PENALTY, PENALTY_GROWTH * penalty)
    raise InputError(f"the regression did not converge in {MOST_ITERATIONS} steps; are the features finite and scaled?")


def _keep_largest(matrix: Float64Array, regions: int, kappa: int) -> Float64Array:
    """Shrink the norm of every block of rows by that of the largest one that is to vanish."""
    blocks = matrix.reshape(regions, -1)
    norms = np.linalg.norm(blocks, axis=1)
    threshold = np.sort(norms)[regions - kappa - 1] if kappa < regions else 0.0
    factors = np.maximum(norms - threshold, 0.0) / np.maximum(norms, np.finfo(float).tiny)
    kept: Float64Array = (factors[:, None] * blocks).reshape(matrix.shape)
    return kept


def _check(
    source: Float64Array,
    labels: npt.NDArray[np.int64],
    target: Float64Array | None,
    *,
    regions: int,
    kappa: int,
    xi: float,
    classes: int,
) -> None:
    if not 1 <= kappa <= regions:
        raise OptionError(f"kappa counts regions that survive: 1 to {regions}, not {kappa}", option="kappa")
    if not (np.isfinite(xi) and xi >= 0):
        raise OptionError(f"xi weighs a distance and is at least 0, not {xi}", option="xi")
    if source.ndim != 2 or source.shape[0] % regions or labels.shape != source.shape[1:]:
        raise InputError(
            f"features of shape {list(source.shape)} are not {regions} regions of one size for {labels.size} labels"
        )
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= classes:
        raise InputError(f"labels are 0 to {classes - 1}")
    absent = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
    if absent.size:
        raise InputError(f"no source sample is of class {', '.join(map(str, absent))}, so it cannot be learnt")
    if target is None and xi > 0:
        raise InputError("xi above 0 needs samples of the target")
    if target is not None and (target.ndim != 2 or target.shape[0] != source.shape[0] or not target.shape[1]):
        raise InputError(f"target features of shape {list(target.shape)} do not go with {source.shape[0]} rows")
    if not np.isfinite(source).all() or (target is not None and not np.isfinite(target).all()):
        raise InputError("the features hold values that are not finite")
