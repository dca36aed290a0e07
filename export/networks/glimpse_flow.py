"""The network of this project: an ensemble of shallow classifiers of the flow image, and a head of action units.

The classifiers have the form of STSTNet (Liong, Gan, See, Khor and Huang, FG 2019, arXiv 1902.03634): deeper networks
do better on synthetic flow and worse on real flow, so the class comes from several small ones whose mistakes average
out. Which units moved is what the synthetic ground truth teaches best, and takes finer detail: a deeper network of its
own answers that, trained on less variation.

Input: float32 [N, 3, 28, 28] (u, v, strain) as `blocks.NoseCentred` prepares it, or `blocks.InIod` where it is
registered as `glimpse_flow_iod`. Output: `Outputs` with logits float32 [members, N, 3] in the order of
`export.labels.LABELS` and units float32 [1, N, 2, units], columns as `export.synthesis.action_units.UNITS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.labels import LABELS
from export.networks.network import FLOW_INPUT, FLOW_INPUT_IOD, Network, Weights
from export.networks.outputs import Calibrated, Outputs
from export.synthesis.action_units import UNITS

MEMBERS = 5
_FILTERS = 16
_POOLED = 25
_WIDTH = 24
_HIDDEN = 128


class GlimpseFlow(Calibrated):
    """In training [members, N, 3, 28, 28], or [members + 1, ...] of which the last is for the action-unit head.

    Members learn in every second step: given more, a shallow classifier learns what is synthetic about its samples.
    """

    members = MEMBERS
    turns = 2
    unit_variation = 0.35

    def __init__(self, *, padding: int = 2, dropout: float = 0.5) -> None:
        super().__init__(len(UNITS))
        self.classifiers = nn.ModuleList(ShallowClassifier(padding=padding, dropout=dropout) for _ in range(MEMBERS))
        self.units = UnitNetwork()

    def forward(self, images: Tensor, members: Sequence[int] = range(MEMBERS)) -> Outputs:
        """Logits of `members` and, where there are images for it, of the action units."""
        if not self.training:
            return Outputs(torch.stack([each(images) for each in self.classifiers]), self.units(images)[None])
        logits = torch.stack([self.classifiers[each](own) for each, own in zip(members, images, strict=False)])
        last = images[len(members) :]
        return Outputs(logits, self.units(last[0])[None] if len(last) else None)


class ShallowClassifier(nn.Module):
    """One convolution, pooled twice: the three streams of STSTNet as one, since pooling acts on each channel alone."""

    def __init__(self, *, padding: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, _FILTERS, 3, padding=padding)
        self.norm = nn.BatchNorm2d(_FILTERS)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(_FILTERS * _POOLED, len(LABELS))

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 [N, classes] of float32 [N, 3, 28, 28]."""
        pooled = functional.max_pool2d(self.norm(functional.relu(self.conv(images))), 3, 3, padding=1)
        logits: Tensor = self.fc(functional.avg_pool2d(self.dropout(pooled), 2).flatten(1))
        return logits


class UnitNetwork(nn.Module):
    """Which action units move the image-left and the image-right side."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _layer(3, _WIDTH),
            _layer(_WIDTH, 2 * _WIDTH, stride=2),
            _layer(2 * _WIDTH, 2 * _WIDTH),
            nn.Dropout2d(0.05),
            _layer(2 * _WIDTH, 4 * _WIDTH, stride=2),
            _layer(4 * _WIDTH, 4 * _WIDTH),
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(4 * _WIDTH * 49, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.15),
            nn.Linear(_HIDDEN, 2 * len(UNITS)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 [N, 2, units] of float32 [N, 3, 28, 28]."""
        logits: Tensor = self.head(self.features(images)).reshape(-1, 2, len(UNITS))
        return logits


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


_STRETCHED = Network(
    name="glimpse_flow",
    build=GlimpseFlow,
    citation=(
        "Glimpse, export/networks/glimpse_flow.py: classifiers of the form of STSTNet (Liong et al., FG 2019, "
        "arXiv 1902.03634), trained in the spirit of MiE-X (Liu et al., ECCV 2022, arXiv 2112.01730)"
    ),
    recipe="flow_uvs_28",
    inputs=(FLOW_INPUT,),
    trained=Weights(padding=2, preparation="nose_centred"),
    samples=60_000,
    calibrated=True,
    units=UNITS,
)
_IN_IOD = replace(
    _STRETCHED,
    name="glimpse_flow_iod",
    citation=(
        "Glimpse, export/networks/glimpse_flow.py on flow that keeps its magnitude: classifiers of the form of "
        "STSTNet (Liong et al., FG 2019, arXiv 1902.03634), in the spirit of MiE-X (Liu et al., ECCV 2022, "
        "arXiv 2112.01730)"
    ),
    recipe="flow_uvs_28_iod",
    inputs=(FLOW_INPUT_IOD,),
    trained=Weights(padding=2, preparation="in_iod"),
)
NETWORKS = (_STRETCHED, _IN_IOD)
