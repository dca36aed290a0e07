"""Transfer group sparse regression on flow images, with kappa and xi chosen on the labelled source alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from export.adaptation.tgsr import KAPPAS, Float64Array, Regression, fit
from export.data.flow_images import FlowImages
from export.evaluation import confusion_matrix, measure
from export.labels import LABELS
from export.loso import subject_folds
from export.networks.blocks import NoseCentred
from export.networks.tgsr_flow import REGIONS, RegionStatistics, project_on_simplex
from server.types import UInt8Array

XIS = (0.0, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
"""Both from the least constrained on: of equal scores the first counts."""
Settings = tuple[int, float]


@dataclass(frozen=True, slots=True)
class Features:
    """Region statistics float64 [N, D] of images, and of their mirror images."""

    plain: Float64Array
    mirrored: Float64Array

    def of(self, chosen: npt.NDArray[np.bool_]) -> Features:
        """Those of some samples."""
        return Features(self.plain[chosen], self.mirrored[chosen])


@dataclass(frozen=True, slots=True)
class Choice:
    """The settings of the highest score, and the UF1 on left-out subjects of the source for all that were tried.

    The highest of many scores is an optimistic one.
    """

    kappa: int
    xi: float
    uf1: Mapping[Settings, float]


def region_features(images: UInt8Array) -> Features:
    """What the served graph computes of `images` uint8 [N, 3, 28, 28] (u, v, strain)."""
    statistics = RegionStatistics()
    with torch.inference_mode():
        prepared = NoseCentred()(torch.from_numpy(images).float())
        mirrored = prepared.flip(3) * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
        plain, other = (statistics(each).double().numpy() for each in (prepared, mirrored))
    return Features(plain, other)


def fit_flow(
    source: Features, labels: npt.NDArray[np.int64], target: Features | None, *, kappa: int, xi: float
) -> Regression:
    """`export.adaptation.tgsr.fit` on images as they are, without their mirror images, and raises as it does.

    A set closed under mirroring would give mirrored regions the same norm, and no threshold could part them.
    """
    columns = None if target is None else target.plain.T
    return fit(source.plain.T, labels, columns, regions=REGIONS, kappa=kappa, xi=xi, classes=len(LABELS))


def answers(features: Features, coefficients: Float64Array) -> Float64Array:
    """Probabilities float64 [N, classes] as the served graph gives them: the mean over each image and its mirror."""
    views = np.concatenate([features.plain, features.mirrored]) @ coefficients
    mean: Float64Array = project_on_simplex(torch.from_numpy(views)).reshape(2, -1, views.shape[1]).mean(0).numpy()
    return mean


def choose(
    source: FlowImages,
    features: Features,
    *,
    kappas: Sequence[int] = KAPPAS,
    xis: Sequence[float] = XIS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Choice:
    """The settings under which subjects of `source` that were left out are classified best.

    The left-out subject stands for the target: its samples without their labels are what `xi` draws the mean to. No
    sample of the real target is looked at. `on_progress(done, total)` counts fits. Raises `InputError` as
    `subject_folds` does.
    """
    folds = subject_folds(source)
    grid = [(kappa, xi) for kappa in kappas for xi in xis]
    predictions = {settings: np.zeros(len(source.labels), np.int64) for settings in grid}
    done = 0
    for fold in folds:
        others, left_out = features.of(~fold.test), features.of(fold.test)
        for kappa, xi in grid:
            regression = fit_flow(others, source.labels[~fold.test], left_out, kappa=kappa, xi=xi)
            predictions[kappa, xi][fold.test] = answers(left_out, regression.coefficients).argmax(1)
            done += 1
            on_progress(done, len(folds) * len(grid))
    uf1 = {
        settings: measure(confusion_matrix(source.labels, predictions[settings]), "the source").uf1 for settings in grid
    }
    kappa, xi = max(grid, key=uf1.__getitem__)
    return Choice(kappa, xi, uf1)
