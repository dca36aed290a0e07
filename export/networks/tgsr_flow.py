"""A linear classifier of regional flow statistics, which transfer group sparse regression fits to a target.

The method is that of Jiang, Zong, Zheng, Liu and Wei, "Seeking Salient Facial Regions for Cross-Database
Micro-Expression Recognition", ICPR 2022, arXiv 2111.15361; `export.adaptation.tgsr` solves it.

Input: float32 [N, 3, 28, 28] as `export.networks.blocks.NoseCentred` makes it. Output: logits float32 [N, 3] whose
softmax is the projection of the scores on the simplex, the pseudo-probability of the paper's prediction step.

Deviation: the paper describes a region by LBP-TOP of the grey clip (177 numbers); here it is 12 statistics of the flow
from onset to apex, so figures of the paper do not carry over. The 85 regions are the paper's: 1, 4, 16 and 64 cells.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from export.networks.network import FLOW_INPUT, Network, Weights
from server.errors import OptionError

GRIDS = (1, 2, 4, 8)
REGIONS = sum(side * side for side in GRIDS)
DIRECTIONS = 8
STATISTICS = DIRECTIONS + 4
_SIDE = 28
_STATISTICS_SCALE = 0.25
"""Brings means, which are about 1 where much moves, to the size of a bin of a histogram that sums to 1."""
_FLOOR = 0.25
"""Motion below this, in units of the image's own spread, gives a histogram that sums to less than 1."""
_TINY = 1e-7


class RegionStatistics(nn.Module):
    """85 regions (grids of 1, 2, 4 and 8 cells a side, each from left to right and downwards) by 12 statistics: the
    share of motion along 8 directions, the mean of u, of v and of strain, and the root mean square of the motion.
    """

    directions: Tensor

    def __init__(self) -> None:
        super().__init__()
        angles = torch.arange(DIRECTIONS) * (2 * math.pi / DIRECTIONS)
        self.register_buffer("directions", torch.stack([angles.cos(), angles.sin()]), persistent=False)
        for side in GRIDS:
            self.register_buffer(f"cells_{side}", _cell_means(side), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """float32 [N, 85 * 12], region by region, of normalised u, v, strain: float32 [N, 3, 28, 28]."""
        motion = images[:, :2]
        along = torch.relu(torch.einsum("ncyx,cd->ndyx", motion, self.directions))
        energy = motion.square().sum(1, keepdim=True)
        means = self._pool(torch.cat([along, images, energy], dim=1))
        histogram, average, power = means[:, :DIRECTIONS], means[:, DIRECTIONS:-1], means[:, -1:]
        histogram = histogram / (histogram.sum(1, keepdim=True) + _FLOOR)
        others = torch.cat([average, (power + _TINY).sqrt()], dim=1) * _STATISTICS_SCALE
        return torch.cat([histogram, others], dim=1).transpose(1, 2).flatten(1)

    def _pool(self, planes: Tensor) -> Tensor:
        """Means over every region: float32 [N, C, 85]."""
        grids = []
        for side in GRIDS:
            cells = self.get_buffer(f"cells_{side}")
            grids.append((cells @ planes @ cells.T).flatten(2))
        return torch.cat(grids, dim=2)


class TGSRFlow(nn.Module):
    """Region statistics, one coefficient for each and each class, and the simplex. It is fitted, never trained."""

    def __init__(self, *, classes: int = 3) -> None:
        super().__init__()
        self.statistics = RegionStatistics()
        self.coefficients = nn.Parameter(torch.zeros(REGIONS * STATISTICS, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `images` float32 [N, 3, 28, 28]. Raises `OptionError` in training mode."""
        if self.training:
            raise OptionError(
                "tgsr_flow is solved for, not trained: use `glimpse-export adapt tgsr_flow`", option="arch"
            )
        return project_on_simplex(self.statistics(images) @ self.coefficients).clamp_min(_TINY).log()


def project_on_simplex(scores: Tensor) -> Tensor:
    """The nearest point with no negative part and sum 1, float32 [N, classes]; the order of the scores stays."""
    classes = scores.shape[1]
    ordered = torch.topk(scores, classes, dim=1).values
    surplus = (ordered.cumsum(1) - 1.0) / torch.arange(1, classes + 1)
    return torch.relu(scores - surplus.amax(1, keepdim=True))


def _cell_means(side: int) -> Tensor:
    """float32 [side, 28]: weights that average the pixels of a cell, those on a border by their share."""
    pixels = torch.arange(_SIDE)
    width = _SIDE / side
    starts = torch.arange(side)[:, None] * width
    overlap = torch.minimum(pixels + 1, starts + width) - torch.maximum(pixels, starts)
    return overlap.clamp_min(0.0) / width


NETWORKS = (
    Network(
        name="tgsr_flow",
        build=TGSRFlow,
        citation=(
            "Jiang, Zong, Zheng, Liu, Wei: Seeking Salient Facial Regions for Cross-Database Micro-Expression "
            "Recognition. ICPR 2022, arXiv 2111.15361; on statistics of optical flow instead of LBP-TOP"
        ),
        recipe="flow_uvs_28",
        inputs=(FLOW_INPUT,),
        trained=Weights(preparation="nose_centred"),
    ),
)
