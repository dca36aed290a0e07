"""Dual-Inception: two streams of inception blocks, one over horizontal and one over vertical flow.

Zhou, Mao and Xue, "Dual-Inception Network for Cross-Database Micro-Expression Recognition", FG 2019. Layer sizes are
those of a public re-implementation (ECNU-Cross-Innovation-Lab/mini-AORCNN), the paper not being at hand.

Input: float32 [N, 3, 28, 28] (u, v, strain) as `export.networks.blocks.NoseCentred` makes it, of which strain is not
looked at. Output: logits float32 [N, 3] in the order of `export.labels.LABELS`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.networks.network import FLOW_INPUT, Network, Weights

_WIDTHS = (6, 16)
FEATURES = 2 * 4 * _WIDTHS[1]
"""Channels of the two streams together."""
SIDE = 7
_HIDDEN = 1024


class InceptionBlock(nn.Module):
    """Four paths side by side, `width` channels each, and max pooling that halves the picture."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.wide = nn.Sequential(
            nn.Conv2d(inputs, width, 1), nn.ReLU(), nn.Conv2d(width, width, 5, padding=2), nn.ReLU()
        )
        self.near = nn.Sequential(
            nn.Conv2d(inputs, width, 1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()
        )
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), nn.Conv2d(inputs, width, 1), nn.ReLU())
        self.point = nn.Conv2d(inputs, width, 1)
        self.shrink = nn.MaxPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        """float32 [N, 4 * width, H / 2, W / 2] of float32 [N, inputs, H, W]."""
        paths = [self.wide(images), self.near(images), self.pooled(images), self.point(images)]
        found: Tensor = self.shrink(torch.cat(paths, dim=1))
        return found


class FlowStreams(nn.Module):
    """One stream of two blocks for u and one for v, with weights of their own."""

    def __init__(self) -> None:
        super().__init__()
        first, second = _WIDTHS
        self.horizontal, self.vertical = (
            nn.Sequential(InceptionBlock(1, first), InceptionBlock(4 * first, second)) for _ in range(2)
        )

    def forward(self, images: Tensor) -> Tensor:
        """float32 [N, 128, 7, 7] of float32 [N, 3, 28, 28]."""
        return torch.cat([self.horizontal(images[:, :1]), self.vertical(images[:, 1:2])], dim=1)


class DualInception(nn.Module):
    """Both streams and two dense layers."""

    def __init__(self, *, classes: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.streams = FlowStreams()
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(FEATURES * SIDE * SIDE, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(_HIDDEN, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `images` float32 [N, 3, 28, 28]."""
        logits: Tensor = self.head(self.streams(images))
        return logits


NETWORKS = (
    Network(
        name="dual_inception",
        build=DualInception,
        citation=("Zhou, Mao, Xue: Dual-Inception Network for Cross-Database Micro-Expression Recognition. FG 2019"),
        recipe="flow_uvs_28",
        inputs=(FLOW_INPUT,),
        trained=Weights(preparation="nose_centred"),
        eight_bits=True,
        plan={"learning_rate": 1e-3},
        readings=(
            "The paper was not at hand: layer sizes are those of a public re-implementation.",
            "Dropout of 0.5 before the last layer, on which that code is silent.",
            "Flow is scaled against the motion of the nose, as for every flow network here.",
        ),
        reported=(
            "MEGC2019 composite, leave one subject out: UF1 0.7322, UAR 0.7278 (table of HTNet). Whether the epoch was "
            "chosen on the test subject is not known."
        ),
    ),
)
