"""The generator of ICE-GAN: from a person's neutral face to the same face at the apex of an expression that is asked
for.

Yu, Zhang, Song and Cai, IJCNN 2021, arXiv 2005.04370, whose figure shows the parts; all sizes are ours. The graph
reasoning is that of Chen, Rohrbach, Yan, Yan, Feng and Kalantidis, "Graph-Based Global Reasoning Networks", CVPR 2019.

It paints what is added to the onset, at most 0.3 of half the grey range in any pixel: micro-expressions are small, and
who does not change beyond recognition stays the same person. It is narrow, 16 channels where such networks often have
64, so that one core can train it. Trained by `export.gan_training` against `export.networks.icegan`; never served.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.labels import LABELS
from export.networks.icegan import SIDE_PX, scaled
from server.contract import TensorSpec

NOISE = 100
REACH = 0.3
"""The largest change of a pixel, on the scale of -1..1."""

_WIDTHS = (1, 2, 4, 8, 8)
_DECODED = (4, 2, 1, 1)
"""Channels after each level, in those after the first."""
_NODES = 16
_LABEL, _SEED = 16, 64
_SLOPE = 0.2
_SEED_SIDE = SIDE_PX >> len(_DECODED)

GENERATOR_INPUTS = (
    TensorSpec(name="onset", dims=(1, SIDE_PX, SIDE_PX), meaning="the face square at the onset, grey, 0 to 255"),
    TensorSpec(name="label", dims=(len(LABELS),), meaning="1 for the class that is wanted, 0 for others"),
    TensorSpec(name="noise", dims=(NOISE,), meaning="standard normal numbers: another face for others"),
)
"""What `GeneratorGraph` takes, in this order."""


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

    def __init__(self, *, classes: int = 3, width: int = 16) -> None:
        super().__init__()
        encoded, decoded = [width * times for times in _WIDTHS], [width * times for times in _DECODED]
        self.enter = _layer(nn.Conv2d(1, encoded[0], 7, padding=3), encoded[0])
        self.down = nn.ModuleList(_layer(nn.Conv2d(*widths, 4, 2, 1), widths[1]) for widths in pairwise(encoded))
        self.label = nn.Embedding(classes, _LABEL)
        self.seed = nn.Linear(_LABEL + NOISE, _SEED * _SEED_SIDE * _SEED_SIDE)
        self.join = nn.Conv2d(encoded[-1] + _SEED, encoded[-1], 1)
        skips = encoded[-2::-1]
        self.reason = nn.ModuleList(GraphReasoning(each) for each in skips)
        self.up = nn.ModuleList(
            _Up(before + skip, after)
            for before, skip, after in zip((encoded[-1], *decoded), skips, decoded, strict=False)
        )
        self.leave = nn.Conv2d(decoded[-1], 1, 7, padding=3)

    def forward(self, onset: Tensor, wanted: Tensor, noise: Tensor) -> Tensor:
        """Faces float32 [N, 1, 128, 128], -1..1, of `onset` of the same kind, the classes `wanted` int64 [N] and
        `noise` float32 [N, 100], standard normal.
        """
        return self.paint(onset, self.label(wanted), noise)

    def paint(self, onset: Tensor, label: Tensor, noise: Tensor) -> Tensor:
        """The same of classes that are embedded, or blends of them: `label` float32 [N, 16]."""
        found = self.enter(onset)
        levels: list[Tensor] = []
        for down in self.down:
            levels.append(found)
            found = down(found)
        seed = self.seed(torch.cat([label, noise], dim=1)).reshape(-1, _SEED, _SEED_SIDE, _SEED_SIDE)
        found = self.join(torch.cat([found, seed], dim=1))
        for up, reason, level in zip(self.up, self.reason, reversed(levels), strict=True):
            found = up(found, reason(level))
        return (onset + REACH * torch.tanh(self.leave(found))).clamp(-1.0, 1.0)


class Made(NamedTuple):
    """What the exported generator answers: `face` float32 [N, 1, 128, 128], grey 0..255."""

    face: Tensor


class GeneratorGraph(nn.Module):
    """The generator as it is exported, on the grey levels of the recipe."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, onset: Tensor, label: Tensor, noise: Tensor) -> Made:
        """`onset` float32 [N, 1, 128, 128], 0..255; `label` float32 [N, classes], one for the class that is wanted and
        zero for others; `noise` float32 [N, 100], standard normal.
        """
        made = self.generator.paint(scaled(onset), label @ self.generator.label.weight, noise)
        return Made((made + 1.0) * 127.5)


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
