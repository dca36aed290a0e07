"""STSTNet: three shallow convolutions of different width over u, v and strain (Liong et al., FG 2019).

Liong, Gan, See, Khor and Huang, "Shallow Triple Stream Three-dimensional CNN (STSTNet) for Micro-expression
Recognition", arXiv 1902.03634. The kernels span the three channels of one image, so these are 2D convolutions.

Input: float32 [N, 3, 28, 28]. The order and scale of the channels belong to the weights, not to the network: see
`export.networks.blocks`. Output: logits float32 [N, 3] in the order of `export.labels.LABELS`.

Deviations: the paper pads convolutions by 1; the authors' published PyTorch weights need 2, which shifts the pooling
grid by one pixel. The paper counts 1670 parameters; the layers it lists have 1651, and 1683 with batch normalisation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks.network import FLOW_INPUT, Network, Weights

_WIDTHS = (3, 5, 8)


class STSTNet(nn.Module):
    """`padding` 1 as in the paper, 2 as in the published PyTorch weights, whose state dictionaries load as they are."""

    def __init__(self, *, padding: int = 1, classes: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        self.padding = padding
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(3, width, 3, padding=padding) for width in _WIDTHS)
        self.bn1, self.bn2, self.bn3 = (nn.BatchNorm2d(width) for width in _WIDTHS)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(sum(_WIDTHS) * 25, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `images` float32 [N, 3, 28, 28]."""
        streams = (
            self._stream(images, self.conv1, self.bn1),
            self._stream(images, self.conv2, self.bn2),
            self._stream(images, self.conv3, self.bn3),
        )
        logits: Tensor = self.fc(functional.avg_pool2d(torch.cat(streams, dim=1), 2).flatten(1))
        return logits

    def _stream(self, images: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
        stream: Tensor = self.dropout(functional.max_pool2d(norm(functional.relu(conv(images))), 3, 3, padding=1))
        return stream

    def for_serving(self) -> MergedSTSTNet:
        """The same function with the three streams as one convolution, four times as fast. In evaluation mode."""
        return MergedSTSTNet(self).eval()


class MergedSTSTNet(nn.Module):
    """STSTNet in evaluation mode as one stream of 16 filters, since pooling and normalisation act by channel."""

    def __init__(self, network: STSTNet) -> None:
        super().__init__()
        width = sum(_WIDTHS)
        self.conv = nn.Conv2d(3, width, 3, padding=network.padding)
        self.norm = nn.BatchNorm2d(width)
        convolutions = (network.conv1, network.conv2, network.conv3)
        norms = (network.bn1, network.bn2, network.bn3)
        self.conv.load_state_dict(_stacked(convolutions))
        self.norm.load_state_dict(_stacked(norms))
        self.fc = network.fc

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `images` float32 [N, 3, 28, 28]."""
        stream = functional.max_pool2d(self.norm(functional.relu(self.conv(images))), 3, 3, padding=1)
        logits: Tensor = self.fc(functional.avg_pool2d(stream, 2).flatten(1))
        return logits


def _stacked(layers: tuple[nn.Module, ...]) -> dict[str, Tensor]:
    states = [layer.state_dict() for layer in layers]
    return {
        name: torch.cat([state[name] for state in states]) if first.ndim else first for name, first in states[0].items()
    }


NETWORKS = (
    Network(
        name="ststnet",
        build=STSTNet,
        citation=(
            "Liong, Gan, See, Khor, Huang: Shallow Triple Stream Three-dimensional CNN (STSTNet) for "
            "Micro-expression Recognition. FG 2019, arXiv 1902.03634"
        ),
        recipe="flow_uvs_28",
        inputs=(FLOW_INPUT,),
        # The padding of the published weights, so that both can be compared and one can be tuned into the other.
        trained=Weights(padding=2, preparation="nose_centred"),
        published=Weights(padding=2, preparation="published_order"),
    ),
)
