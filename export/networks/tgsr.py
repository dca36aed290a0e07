"""A linear classifier of regional LBP-TOP histograms, which transfer group sparse regression fits to a target.

Jiang, Zong, Zheng, Liu and Wei, "Seeking Salient Facial Regions for Cross-Database Micro-Expression Recognition", ICPR
2022, arXiv 2111.15361; `export.adaptation.tgsr` solves it. `export.networks.tgsr_flow` is the same on optical flow.

Input: `features` float32 [N, 85, 177] as the recipe `lbp_top_85` makes them, not scaled, without a bias, as in the
authors' code. Output: logits float32 [N, 3] in the order of `export.labels.LABELS`, whose softmax is the projection of
the scores on the simplex, the paper's prediction step.

Deviations: the face is the aligned crop and not the box of a detector; frames lie evenly in time, by linear
interpolation, where the paper uses a temporal interpolation model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from export.adaptation.tgsr import KAPPAS, Regression, fit
from export.evaluation import confusion_matrix, measure
from export.labels import LABELS
from export.networks.network import Network
from export.networks.tgsr_flow import project_on_simplex
from server.contract import TensorSpec
from server.errors import OptionError
from server.recipes.lbp_top_85 import DIMS, INPUT
from server.types import Float64Array

REGIONS, NUMBERS = DIMS[INPUT]
FOLDS = 3
_TINY = 1e-7


class TGSR(nn.Module):
    """One coefficient for each number of each region and each class, and the simplex. It is fitted, never trained."""

    def __init__(self, *, classes: int = 3) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.zeros(REGIONS * NUMBERS, classes))

    def forward(self, features: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `features` float32 [N, 85, 177]. Raises `OptionError` in training mode."""
        if self.training:
            raise OptionError("tgsr is solved for, not trained: see TGSR.solve", option="arch")
        return project_on_simplex(features.flatten(1) @ self.coefficients).clamp_min(_TINY).log()

    def solve(self, inputs: Sequence[Tensor], labels: npt.NDArray[np.int64], people: npt.NDArray[np.int64]) -> None:
        """Fit the coefficients to `inputs`, one tensor float32 [N, 85, 177], of `people` int64 [N].

        How many regions survive is chosen by the UF1 of people who are left out, in `FOLDS` parts. Nothing is known of
        a target here, so the means of source and target play no part (xi is 0). Raises `InputError` as
        `export.adaptation.tgsr.fit` does.
        """
        columns = inputs[0].flatten(1).double().numpy().T
        kappa = max(KAPPAS, key=lambda each: _left_out_uf1(columns, labels, people, each))
        regression = fit(columns, labels, None, regions=REGIONS, kappa=kappa, xi=0.0, classes=len(LABELS))
        self.load_state_dict(state_of(regression))


def _left_out_uf1(
    columns: Float64Array, labels: npt.NDArray[np.int64], people: npt.NDArray[np.int64], kappa: int
) -> float:
    predictions = np.zeros(len(labels), np.int64)
    for fold in range(FOLDS):
        out = people % FOLDS == fold
        if out.any():
            found = fit(columns[:, ~out], labels[~out], None, regions=REGIONS, kappa=kappa, xi=0.0, classes=len(LABELS))
            predictions[out] = (columns[:, out].T @ found.coefficients).argmax(1)
    return measure(confusion_matrix(labels, predictions)).uf1


def state_of(regression: Regression) -> dict[str, Tensor]:
    """The state of a `TGSR` that answers as `regression` does, which was fitted to features float64 [15045, N]."""
    return {"coefficients": torch.from_numpy(regression.coefficients).float()}


NETWORKS = (
    Network(
        name="tgsr",
        build=TGSR,
        citation=(
            "Jiang, Zong, Zheng, Liu, Wei: Seeking Salient Facial Regions for Cross-Database Micro-Expression "
            "Recognition. ICPR 2022, arXiv 2111.15361"
        ),
        recipe="lbp_top_85",
        inputs=(
            TensorSpec(
                name=INPUT,
                dims=DIMS[INPUT],
                meaning=(
                    "for 85 regions (grids of 1, 2, 4 and 8 cells a side, row by row) the uniform LBP-TOP histograms "
                    "of XY, XT and YT, 59 bins each, each with sum 1, of 16 grey frames from onset to offset"
                ),
            ),
        ),
        eight_bits=True,
        samples=2_000,
        readings=(
            "Planes are in the order XY, XT, YT and regions row by row, on which the paper is silent.",
            "Codes are taken on the whole clip and counted in the cell of their centre, so none is lost between cells.",
            "Frames are interpolated linearly in time, where the paper uses a temporal interpolation model.",
            (
                "kappa is chosen on people of the source who are left out, and xi is 0 for want of a target; the paper "
                "chooses both on the labels of the target."
            ),
        ),
        reported=(
            "Twelve cross-database experiments between CASME II and SMIC: mean F1 0.7141 within SMIC and 0.5424 "
            "across, with kappa and xi that were best on the labels of the target; typical settings lose 0.03 to 0.15."
        ),
    ),
)
