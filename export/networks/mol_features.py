"""The F5C block of MOL: what each frame of a pair looks like, as the first one and as the second one.

A fully-connected convolution (FCC) goes around whole rows and columns; a channel correspondence convolution (CCC) looks
at nearest neighbours as a graph network does (arXiv 2506.14511). Paper and code disagree on the latter: its nodes are
the channels in the paper (default here), the positions in the code, which takes off a node twice from its neighbour,
counts it as its own neighbour and lacks the convolution behind. `ccc="code"` builds that, with the layers that the code
declares and does not use, so that parameters can be counted.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from server.recipes.frames_8x128 import FRAMES

Semantics: TypeAlias = Literal["paper", "code"]

PAIRS = FRAMES - 1
CHANNELS = 128
SIDE = 16
_FIRST = 8
_POSITIONS = SIDE * SIDE
_NEIGHBOURS = 4
_DECLARED = 32
"""Length of kernels and embeddings in the authors' code, which uses the first 16 of them."""


class CircularConvolution(nn.Module):
    """FCC: two depth-wise convolutions over whole columns and whole rows, wrapped around, added to what came in.

    One half of the channels is convolved down first and across then, the other half the other way round.
    """

    def __init__(self, channels: int = CHANNELS, *, length: int = SIDE) -> None:
        super().__init__()
        half = channels // 2
        self.down, self.across = (nn.ParameterList(_embedding(half, length, axis) for _ in range(2)) for axis in (2, 3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(half) for _ in range(2))
        self.columns = nn.ModuleList(nn.Conv2d(half, half, (length, 1), groups=half) for _ in range(2))
        self.rows = nn.ModuleList(nn.Conv2d(half, half, (1, length), groups=half) for _ in range(2))

    def forward(self, maps: Tensor) -> Tensor:
        """float32 [N, channels, 16, 16] of the same shape."""
        first, second = maps.chunk(2, dim=1)
        first = self.norms[0](first + self.down[0][:, :SIDE])
        second = self.norms[1](second + self.across[0][:, :, :SIDE])
        first, second = _around(first, self.columns[0], 2), _around(second, self.rows[0], 3)
        first, second = first + self.across[1][:, :, :SIDE], second + self.down[1][:, :SIDE]
        first, second = _around(first, self.rows[1], 3), _around(second, self.columns[1], 2)
        return torch.cat([first, second], dim=1) + maps


class DeclaredCircularConvolution(CircularConvolution):
    """FCC with all that the authors' code declares: longer kernels, and a feed-forward part that is never called."""

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__(channels, length=_DECLARED)
        self.unused = nn.Sequential(
            nn.BatchNorm2d(channels), nn.Conv2d(channels, 2, 1), nn.Hardswish(), nn.Conv2d(2, channels, 1)
        )


class ChannelGraph(nn.Module):
    """CCC as the paper tells it: each channel takes the most of what its four nearest channels differ in."""

    itself: Tensor

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        self._channels = channels
        self.own, self.difference = nn.Linear(_POSITIONS, _POSITIONS), nn.Linear(_POSITIONS, _POSITIONS)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.register_buffer("itself", 4.0 * torch.eye(channels), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """float32 [N, channels, 16, 16] of the same shape."""
        nodes = maps.reshape(-1, self._channels, _POSITIONS)
        # Cosines are at most 1, so no node is its own neighbour.
        nearest = _nearest(nodes, self.itself)
        # W (x_j - x_i) = W x_j - W x_i, and the largest of many sums with one common term is that of the others.
        mapped = functional.linear(nodes, self.difference.weight)
        index = nearest.reshape(-1, self._channels * _NEIGHBOURS, 1).expand(-1, -1, _POSITIONS)
        others = mapped.gather(1, index).reshape(-1, self._channels, _NEIGHBOURS, _POSITIONS).amax(2)
        edges = torch.relu(self.own(nodes) + self.difference.bias + others - mapped)
        result: Tensor = maps + self.mix(edges.reshape(-1, self._channels, SIDE, SIDE))
        return result


class PositionGraph(nn.Module):
    """CCC as the authors' code has it: neighbours among the positions, each its own first one."""

    def __init__(self, channels: int = CHANNELS) -> None:
        super().__init__()
        self._channels = channels
        self.own, self.difference = nn.Linear(_POSITIONS, _POSITIONS), nn.Linear(_POSITIONS, _POSITIONS)

    def forward(self, maps: Tensor) -> Tensor:
        """float32 [N, channels, 16, 16] of the same shape."""
        rows = maps.reshape(-1, self._channels, _POSITIONS)
        nearest = _nearest(rows.transpose(1, 2)).transpose(1, 2)
        index = nearest.reshape(-1, 1, _NEIGHBOURS * _POSITIONS).expand(-1, self._channels, -1)
        taken = rows.gather(2, index).reshape(-1, self._channels, _NEIGHBOURS, _POSITIONS)
        weight = self.difference.weight
        others = functional.linear(taken, weight).amax(2) - 2.0 * functional.linear(rows, weight)
        edges = torch.relu(self.own(rows) + self.difference.bias + others)
        return maps + edges.reshape(-1, self._channels, SIDE, SIDE)


class F5C(nn.Module):
    """A stem that all frames share, then FCC and CCC with weights of their own for first and for second frames."""

    def __init__(self, channels: int = CHANNELS, ccc: Semantics = "paper") -> None:
        super().__init__()
        self._channels = channels
        # Without a norm or an activation in between, as in the authors' code.
        self.stem = nn.Sequential(
            nn.Conv2d(1, _FIRST, 4, stride=2),
            nn.Conv2d(_FIRST, channels // 4, 3, stride=2),
            nn.Conv2d(channels // 4, channels // 2, 2, stride=2, padding=1),
            nn.Conv2d(channels // 2, channels, 1),
        )
        self.first, self.second = (_block(channels, ccc) for _ in range(2))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Features of frames 0..6 as first and of frames 1..7 as second ones of a pair, float32 [N, 7, channels, 16,
        16] each, of `frames` float32 [N, 8, 128, 128] about -1..1.
        """
        shape = (self._channels, SIDE, SIDE)
        stem = self.stem(frames.reshape(-1, 1, *frames.shape[2:])).reshape(-1, FRAMES, *shape)
        first, second = (
            block(part.reshape(-1, *shape)).reshape(-1, PAIRS, *shape)
            for block, part in ((self.first, stem[:, :-1]), (self.second, stem[:, 1:]))
        )
        return first, second


def _block(channels: int, ccc: Semantics) -> nn.Sequential:
    if ccc == "code":
        return nn.Sequential(DeclaredCircularConvolution(channels), PositionGraph(channels))
    return nn.Sequential(CircularConvolution(channels), ChannelGraph(channels))


def _embedding(channels: int, length: int, axis: int) -> nn.Parameter:
    shape = (channels, length, 1) if axis == 2 else (channels, 1, length)
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))


def _around(maps: Tensor, conv: nn.Module, axis: int) -> Tensor:
    """Convolved over `axis`, whose end continues at its start, with as much of the kernel as the axis is long."""
    assert isinstance(conv, nn.Conv2d)
    wrapped = torch.cat([maps, maps.narrow(axis, 0, SIDE - 1)], dim=axis)
    return functional.conv2d(wrapped, conv.weight[:, :, :SIDE, :SIDE], conv.bias, groups=conv.groups)


def _nearest(nodes: Tensor, handicap: Tensor | None = None) -> Tensor:
    """Numbers int64 [N, M, 4] of the nodes of the largest cosine to each of `nodes` [N, M, D], less `handicap`."""
    unit = nodes / nodes.square().sum(2, keepdim=True).clamp_min(1e-12).sqrt()
    likeness = unit @ unit.transpose(1, 2)
    if handicap is not None:
        likeness = likeness - handicap
    return torch.topk(likeness, _NEIGHBOURS, dim=2).indices
