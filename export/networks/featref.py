"""Feature Refinement: a shared feature of flow, refined into one detector for each expression, and their fusion.

Zhou, Mao, Huang, Zhang and Zhang, "Feature refinement: An expression-specific feature learning and fusion method for
micro-expression recognition", Pattern Recognition 122, 2022, arXiv 2101.04838.

Input: float32 [N, 3, 28, 28] (u, v, strain) as `export.networks.blocks.NoseCentred` makes it, of which strain is not
looked at. Output: `Outputs` with logits float32 [1, N, 3] and proposals float32 [1, N, 3], whose loss makes each branch
a detector of its own class; both in the order of `export.labels.LABELS`.

The abstract names the shared feature, the proposals by attention, their loss and the fusion; the sizes of all but the
streams are a reading.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.networks.dual_inception import FEATURES, SIDE, FlowStreams
from export.networks.network import FLOW_INPUT, Network, Weights
from export.networks.outputs import Outputs

_SQUEEZED = 16
_SPECIFIC = 128


class Proposal(nn.Module):
    """What one expression takes of the shared feature: channels and places by attention, then a feature of its own."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.channels = nn.Sequential(
            nn.Linear(FEATURES, _SQUEEZED), nn.ReLU(), nn.Linear(_SQUEEZED, FEATURES), nn.Sigmoid()
        )
        self.places = nn.Conv2d(FEATURES, 1, 1)
        self.specific = nn.Sequential(
            nn.Flatten(), nn.Dropout(dropout), nn.Linear(FEATURES * SIDE * SIDE, _SPECIFIC), nn.ReLU()
        )
        self.present = nn.Linear(_SPECIFIC, 1)

    def forward(self, shared: Tensor) -> tuple[Tensor, Tensor]:
        """Feature float32 [N, 128] and logit float32 [N, 1] of the shared feature float32 [N, 128, 7, 7]."""
        channels = self.channels(shared.mean((2, 3)))[:, :, None, None]
        cells = SIDE * SIDE
        places = torch.softmax(self.places(shared).flatten(1), dim=1).reshape(-1, 1, SIDE, SIDE) * cells
        feature = self.specific(shared * channels * places)
        return feature, self.present(feature)


class FeatureRefinement(nn.Module):
    """Shared streams, one proposal for each class, and a dense layer over all of their features."""

    def __init__(self, *, classes: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.streams = FlowStreams()
        self.proposals = nn.ModuleList(Proposal(dropout) for _ in range(classes))
        self.fusion = nn.Sequential(nn.Dropout(dropout), nn.Linear(classes * _SPECIFIC, classes))

    def forward(self, images: Tensor) -> Outputs:
        """`Outputs` of `images` float32 [N, 3, 28, 28]."""
        shared = self.streams(images)
        features, present = zip(*[proposal(shared) for proposal in self.proposals], strict=True)
        logits = self.fusion(torch.cat(features, dim=1))
        return Outputs(logits[None], proposals=torch.cat(present, dim=1)[None])


NETWORKS = (
    Network(
        name="featref",
        build=FeatureRefinement,
        citation=(
            "Zhou, Mao, Huang, Zhang, Zhang: Feature refinement: An expression-specific feature learning and fusion "
            "method for micro-expression recognition. Pattern Recognition 122, 2022, arXiv 2101.04838"
        ),
        recipe="flow_uvs_28",
        inputs=(FLOW_INPUT,),
        trained=Weights(preparation="nose_centred"),
        eight_bits=True,
        plan={"learning_rate": 1e-3},
        readings=(
            "FR-style re-implementation: the paper's body was not at hand.",
            "Branches split after the streams of u and v are put together; attention acts on channels and on places.",
            "The proposal loss is one class against the rest, weighted 1 throughout; fusion is one dense layer.",
            "Flow is scaled against the motion of the nose, as for every flow network here.",
        ),
        reported=(
            "MEGC2019 composite, leave one subject out: UF1 0.7838, UAR 0.7832, as widely quoted. Not checked in the "
            "paper itself."
        ),
    ),
)
