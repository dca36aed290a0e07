"""The solver of transfer group sparse regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.adaptation.tgsr import FIRST_PENALTY, Float64Array, fit
from server.errors import GlimpseError, InputError, OptionError

REGIONS, WIDTH = 7, 4


def _data(seed: int = 0, samples: int = 40) -> tuple[Float64Array, np.ndarray[Any, Any], Float64Array]:
    """Source features, their labels, and target features whose mean lies elsewhere."""
    random = np.random.default_rng(seed)
    labels = np.arange(samples) % 3
    source = random.normal(size=(REGIONS * WIDTH, samples))
    source[: 2 * WIDTH] += 2.0 * random.normal(size=(2 * WIDTH, 3))[:, labels]
    return source, labels, random.normal(size=(REGIONS * WIDTH, 25)) + 0.5


def test_a_tiny_regression_is_that_of_paper_and_pencil() -> None:
    """Two features that each tell one class of three are given a coefficient of 1 for their own class alone."""
    source = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    found = fit(source, np.array([0, 1, 2]), None, regions=3, kappa=3, xi=0.0)
    np.testing.assert_allclose(found.coefficients, np.eye(3), atol=FIRST_PENALTY)


def test_all_regions_without_the_mean_are_a_ridge_regression_in_one_step() -> None:
    """With every region kept and xi 0 the answer is the direct solve, drawn towards ones by half the first penalty."""
    source, labels, target = _data()
    found = fit(source, labels, target, regions=REGIONS, kappa=REGIONS, xi=0.0)
    assert found.iterations == 1
    gram = 2 * source @ source.T + FIRST_PENALTY * np.eye(len(source))
    direct = np.linalg.solve(gram, 2 * source @ np.eye(3)[labels] + FIRST_PENALTY)
    np.testing.assert_allclose(found.coefficients, direct, atol=1e-9)


@pytest.mark.parametrize("kappa", range(1, REGIONS + 1))
@pytest.mark.parametrize("xi", [0.0, 0.1, 100.0])
def test_exactly_kappa_regions_survive(kappa: int, xi: float) -> None:
    """As many blocks of rows as asked for have coefficients, all rows of the others are zero."""
    source, labels, target = _data()
    found = fit(source, labels, target, regions=REGIONS, kappa=kappa, xi=xi)
    blocks = found.coefficients.reshape(REGIONS, -1)
    assert len(found.kept) == kappa
    assert np.abs(np.delete(blocks, found.kept, axis=0)).sum() == 0
    assert (np.abs(blocks[found.kept]).max(1) > 0).all()


def test_the_regions_that_tell_the_classes_survive() -> None:
    """Two of seven regions carry the labels; these two are kept."""
    source, labels, _ = _data()
    assert fit(source, labels, None, regions=REGIONS, kappa=2, xi=0.0).kept.tolist() == [0, 1]


@pytest.mark.parametrize("kappa", [1, 3, 6])
@pytest.mark.parametrize("xi", [0.0, 1.0])
def test_the_answer_is_a_minimum_of_the_objective(kappa: int, xi: float) -> None:
    """At the end one lambda balances the slope of the fit in each region kept, and bounds it in the others, within a
    hundredth: the signs of the multipliers are right.
    """
    source, labels, target = _data()
    found = fit(source, labels, target, regions=REGIONS, kappa=kappa, xi=xi)
    gap = np.sqrt(xi) * (source.mean(1) - target.mean(1))
    features = np.column_stack([source, gap])
    wanted = np.column_stack([np.eye(3)[labels].T, np.zeros(3)])
    slope = -2 * (features @ (features.T @ found.coefficients - wanted.T)).reshape(REGIONS, -1)
    blocks = found.coefficients.reshape(REGIONS, -1)
    strength = np.linalg.norm(slope, axis=1)
    lambda_ = strength[found.kept].mean()
    directions = blocks[found.kept] / np.linalg.norm(blocks[found.kept], axis=1, keepdims=True)
    np.testing.assert_allclose(slope[found.kept], lambda_ * directions, atol=0.01 * lambda_)
    assert (strength <= 1.01 * lambda_).all()


def test_a_larger_xi_brings_the_means_closer() -> None:
    """The mean of the target is given the scores of the mean of the source, the more the larger xi is."""
    source, labels, target = _data()

    def distance(xi: float) -> float:
        found = fit(source, labels, target, regions=REGIONS, kappa=REGIONS, xi=xi)
        return float(np.linalg.norm(found.coefficients.T @ (source.mean(1) - target.mean(1))))

    distances = [distance(xi) for xi in (0.0, 1.0, 100.0)]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 0.05 * distances[0]


def test_xi_zero_does_not_look_at_the_target() -> None:
    """Without its weight the target changes nothing, and may be missing."""
    source, labels, target = _data()
    found = [fit(source, labels, each, regions=REGIONS, kappa=3, xi=0.0).coefficients for each in (None, target)]
    np.testing.assert_array_equal(found[0], found[1])


def test_more_features_than_samples_converge() -> None:
    """85 regions of 12 numbers and 60 samples, as flow images have, end within a few hundred steps."""
    random = np.random.default_rng(1)
    source = random.normal(size=(85 * 12, 60))
    found = fit(source, np.arange(60) % 3, None, regions=85, kappa=12, xi=0.0)
    assert found.iterations < 1000
    assert len(found.kept) == 12


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"kappa": 0}, OptionError, "1 to 7, not 0"),
        ({"kappa": 8}, OptionError, "1 to 7, not 8"),
        ({"xi": -1.0}, OptionError, "at least 0, not -1"),
        ({"xi": float("nan")}, OptionError, "at least 0, not nan"),
        ({"regions": 5}, InputError, "not 5 regions of one size"),
        ({"labels": np.zeros(40, np.int64)}, InputError, "no source sample is of class 1, 2"),
        ({"labels": np.arange(40) % 4}, InputError, "labels are 0 to 2"),
        ({"labels": np.arange(39) % 3}, InputError, "for 39 labels"),
        ({"target": None}, InputError, "needs samples of the target"),
        ({"target": np.zeros((3, 5))}, InputError, "do not go with 28 rows"),
        ({"source": np.full((28, 40), np.inf)}, InputError, "not finite"),
    ],
)
def test_what_cannot_be_solved_is_refused(change: dict[str, Any], error: type[GlimpseError], message: str) -> None:
    """Numbers out of range, shapes that do not fit and absent classes are named."""
    source, labels, target = _data()
    given = {"source": source, "labels": labels, "target": target, "regions": REGIONS, "kappa": 3, "xi": 1.0, **change}
    with pytest.raises(error, match=message):
        fit(**given)
