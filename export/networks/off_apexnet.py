"""OFF-ApexNet: two small convolutional streams over horizontal and vertical flow, and two wide dense layers.

Gan, Liong, Yau, Huang and Tan, "OFF-ApexNet on micro-expression recognition system", Signal Processing: Image
Communication 74, 2019, arXiv 1805.08699.

Input: float32 [N, 3, 28, 28] (u, v, strain) as `export.networks.blocks.NoseCentred` makes it, of which strain is not
looked at. Output: logits float32 [N, 3] in the order of `export.labels.LABELS`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.networks.network import FLOW_INPUT, Network, Weights

_WIDTHS = (6, 16)
_HIDDEN = 1024
_FEATURES = 2 * _WIDTHS[1] * 7 * 7


class OFFApexNet(nn.Module):
    """Streams of 6 and 16 kernels of 5 x 5, each followed by max pooling; dense layers of 1024."""

    def __init__(self, *, classes: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.horizontal, self.vertical = (_stream() for _ in range(2))
        self.head = nn.Sequential(
            nn.Linear(_FEATURES, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(_HIDDEN, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `images` float32 [N, 3, 28, 28]."""
        streams = [self.horizontal(images[:, :1]), self.vertical(images[:, 1:2])]
        logits: Tensor = self.head(torch.cat(streams, dim=1))
        return logits


def _stream() -> nn.Sequential:
    first, second = _WIDTHS
    return nn.Sequential(
        nn.Conv2d(1, first, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )


NETWORKS = (
    Network(
        name="off_apexnet",
        build=OFFApexNet,
        citation=(
            "Gan, Liong, Yau, Huang, Tan: OFF-ApexNet on micro-expression recognition system. Signal Processing: Image "
            "Communication 74, 2019, arXiv 1805.08699"
        ),
        recipe="flow_uvs_28",
        inputs=(FLOW_INPUT,),
        trained=Weights(preparation="nose_centred"),
        eight_bits=True,
        plan={"learning_rate": 1e-3},
        readings=(
            (
                "The paper was not at hand: kernels of 5 x 5, 6 and 16 of them, and two dense layers of 1024 are what "
                "is quoted of it; padding that keeps the size is a reading."
            ),
            "Flow is scaled against the motion of the nose, as for every flow network here.",
        ),
        reported=(
            "MEGC2019 composite, leave one subject out: UF1 0.7196, UAR 0.7096 (table of STSTNet). Varanka et al. find "
            "UF1 0.703 for the last epoch and 0.839 where the epoch is chosen on the test subject."
        ),
    ),
)
