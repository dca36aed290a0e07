"""What surrounds a flow network in the served graph: its input normalisation, the mirrored image, and the softmax.

The served input is `flow` float32 [N, 3, 28, 28], channels u, v, strain, each stretched to 0..255 per image. Networks
differ in what they make of it, so that is part of the graph and no caller can get it wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

Preparation: TypeAlias = Literal["nose_centred", "published_order"]

_NOSE_ROWS, _NOSE_COLUMNS = slice(8, 17), slice(11, 17)
_NOSE_PIXELS = 9 * 6
_FLOOR = 8.0


class NoseCentred(nn.Module):
    """Motion relative to the nose, in units of its own spread: undoes the lost zero level of stretched flow.

    u, v: minus the median of rows 8..16, columns 11..16, divided by (rms + 8). Strain: / 60 - 0.4. It needs no label
    and no other sample.
    """

    def forward(self, flow: Tensor) -> Tensor:
        """float32 [N, 3, 28, 28] of the same shape and order."""
        motion, strain = flow[:, :2], flow[:, 2:]
        nose = motion[:, :, _NOSE_ROWS, _NOSE_COLUMNS].flatten(2)
        half = _NOSE_PIXELS // 2
        # An even count has two middle values; torch.median would take the lower one, and TopK exports everywhere.
        lowest = torch.topk(nose, half + 1, dim=2, largest=False, sorted=True).values
        motion = motion - lowest[:, :, half - 1 :].mean(2)[:, :, None, None]
        spread = motion.square().mean((2, 3), keepdim=True).sqrt() + _FLOOR
        return torch.cat([motion / spread, strain / 60.0 - 0.4], dim=1)


class PublishedOrder(nn.Module):
    """Channels as the published PyTorch weights were trained on: strain, v, u, unscaled."""

    def forward(self, flow: Tensor) -> Tensor:
        """float32 [N, 3, 28, 28] with the channels reversed."""
        return flow.flip(1)


class FlowGraph(nn.Module):
    """`prepare`, `network` and softmax; with `mirrored`, the mean over the image and its mirror image.

    Mirroring comes after `prepare`, where u has a sign that can be negated; the stretched u has none.
    """

    mirror_signs: Tensor

    def __init__(self, network: nn.Module, prepare: nn.Module, *, mirrored: bool) -> None:
        super().__init__()
        self.prepare = prepare
        self.network = network
        self.mirrored = mirrored
        self.register_buffer("mirror_signs", torch.tensor([-1.0, 1.0, 1.0])[None, :, None, None])

    def forward(self, flow: Tensor) -> Tensor:
        """Probabilities float32 [N, classes] of `flow` float32 [N, 3, 28, 28]."""
        images = self.prepare(flow)
        if not self.mirrored:
            return torch.softmax(self.network(images), dim=1)
        both = torch.cat([images, images.flip(3) * self.mirror_signs])
        probabilities = torch.softmax(self.network(both), dim=1)
        return probabilities.reshape(2, -1, probabilities.shape[1]).mean(0)


_PREPARATIONS: dict[Preparation, tuple[Callable[[], nn.Module], bool]] = {
    "nose_centred": (NoseCentred, True),
    "published_order": (PublishedOrder, False),
}


def flow_graph(network: nn.Module, preparation: Preparation) -> FlowGraph:
    """The served graph of `network` in evaluation mode, on the input that `preparation` makes for it."""
    build, mirrored = _PREPARATIONS[preparation]
    return FlowGraph(network, build(), mirrored=mirrored).eval()
