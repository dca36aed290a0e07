"""The generator of ICE-GAN: from a person's neutral face to the same face at the apex of an expression that is asked
for.

Yu, Zhang, Song and Cai, IJCNN 2021, arXiv 2005.04370, whose figure shows the parts; all sizes are ours. The graph
reasoning is that of Chen, Rohrbach, Yan, Yan, Feng and Kalantidis, "Graph-Based Global Reasoning Networks", CVPR 2019.

It paints what is added to the onset, at most 0.3 of half the grey range in any pixel: micro-expressions are small, and
who does not change beyond recognition stays the same person. Trained by `export.gan_losses` against
`export.networks.icegan`; never served.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks.icegan import SIDE_PX

NOISE = 100
REACH = 0.3
"""The largest change of a pixel, on the scale of -1..1."""

_WIDTHS = (64, 128, 256, 512, 512)
_DECODED = (256, 128, 64, 64)
_NODES = 16
_LABEL, _SEED = 16, 64
_SLOPE = 0.2
_SEED_SIDE = SIDE_PX >> len(_DECODED)


class GraphReasoning(nn.Module):
    """Places are gathered into nodes, the nodes exchange what they know, and each place gets its share of it back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = width // 2
        self.assign = nn.Conv2d(width, _NODES, 1)
        self.reduce = nn.Conv2d(width, inner, 1)
        self.adjacency = nn.Parameter(torch.randn(_NODES, _NODES) / _NODES)
        self.update = nn.Linear(inner, inner, bias=False)
        self.expand = nn.Conv2d(inner, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """float32 [N, width, H, W] of the same shape."""
        share = torch.softmax(self.assign(maps).flatten(2), dim=2)
        nodes = share @ self.reduce(maps).flatten(2).transpose(1, 2)
        reasoned = self.update(nodes - self.adjacency @ nodes)
        placed = (reasoned.transpose(1, 2) @ share).unflatten(2, maps.shape[2:])
        result: Tensor = maps + self.expand(placed)
        return result


class Generator(nn.Module):
    """An encoder and a decoder of four levels, joined at each by graph reasoning, with the expression in between."""

    def __init__(self, *, classes: int = 3) -> None:
        super().__init__()
        self.enter = _layer(nn.Conv2d(1, _WIDTHS[0], 7, padding=3), _WIDTHS[0])
        self.down = nn.ModuleList(_layer(nn.Conv2d(*widths, 4, 2, 1), widths[1]) for widths in pairwise(_WIDTHS))
        self.label = nn.Embedding(classes, _LABEL)
        self.seed = nn.Linear(_LABEL + NOISE, _SEED * _SEED_SIDE * _SEED_SIDE)
        self.join = nn.Conv2d(_WIDTHS[-1] + _SEED, _WIDTHS[-1], 1)
        skips = _WIDTHS[-2::-1]
        self.reason = nn.ModuleList(GraphReasoning(width) for width in skips)
        self.up = nn.ModuleList(
            _Up(before + skip, after)
            for before, skip, after in zip((_WIDTHS[-1], *_DECODED), skips, _DECODED, strict=False)
        )
        self.leave = nn.Conv2d(_DECODED[-1], 1, 7, padding=3)

    def forward(self, onset: Tensor, wanted: Tensor, noise: Tensor) -> Tensor:
        """Faces float32 [N, 1, 128, 128], -1..1, of `onset` of the same kind, the classes `wanted` int64 [N] and
        `noise` float32 [N, 100], standard normal.
        """
        found = self.enter(onset)
        levels: list[Tensor] = []
        for down in self.down:
            levels.append(found)
            found = down(found)
        seed = self.seed(torch.cat([self.label(wanted), noise], dim=1)).reshape(-1, _SEED, _SEED_SIDE, _SEED_SIDE)
        found = self.join(torch.cat([found, seed], dim=1))
        for up, reason, level in zip(self.up, self.reason, reversed(levels), strict=True):
            found = up(found, reason(level))
        return (onset + REACH * torch.tanh(self.leave(found))).clamp(-1.0, 1.0)


class _Up(nn.Module):
    """Twice as high and wide, with the encoder's maps of that size beside it."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), nn.InstanceNorm2d(width), nn.ReLU())

    def forward(self, found: Tensor, level: Tensor) -> Tensor:
        enlarged = functional.interpolate(found, scale_factor=2.0, mode="nearest")
        result: Tensor = self.layer(torch.cat([enlarged, level], dim=1))
        return result


def _layer(conv: nn.Conv2d, width: int) -> nn.Sequential:
    return nn.Sequential(conv, nn.InstanceNorm2d(width), nn.LeakyReLU(_SLOPE))
