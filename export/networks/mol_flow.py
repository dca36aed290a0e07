"""The optical-flow head of MOL: FlowNetC on pairs of grey frames, helped by features of the frames.

FlowNetC is by Dosovitskiy et al., "FlowNet: Learning Optical Flow with Convolutional Networks", ICCV 2015, arXiv
1504.06852; this one has batch normalisation, narrower first and wider last layers, and features from outside beside the
correlation, as in the code of MOL (arXiv 2506.14511). Only the flow of full resolution is returned.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_REACH = 10
_STEP = 2
TAPS = (2 * _REACH + 1) ** 2
"""Displacements of -20 to 20 in steps of two, row by row."""
_SIDE = 16
WIDTH = 64
"""Channels of the first layer, as in the authors' code."""
_SLOPE = 0.1


class Correlation(nn.Module):
    """How well each position of one map fits those around it in another, as the mean product over channels."""

    places: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", _places(), persistent=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """float32 [N, 441, 16, 16] of two maps float32 [N, C, 16, 16]; 0 beyond the border."""
        channels = first.shape[1]
        products = first.flatten(2).transpose(1, 2) @ second.flatten(2) / channels
        # One more column of zeros is what lies beyond the border.
        every = functional.pad(products, (0, 1)).flatten(1)
        return every[:, self.places].reshape(-1, TAPS, _SIDE, _SIDE)


class PairFlow(nn.Module):
    """FlowNetC with `extra` channels from outside beside the correlation, `width` of the first layer."""

    def __init__(self, extra: int, width: int = WIDTH) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv(1, width, 6, 2, 2), _conv(width, 2 * width, 4, 2, 1)
        self.conv3 = _conv(2 * width, 4 * width, 2, 2, 0)
        self.correlation = Correlation()
        self.redirect = _conv(4 * width, width // 2, 1, 1, 0)
        self.merged = _conv(width // 2 + TAPS + extra, 4 * width)
        self.conv4 = nn.Sequential(_conv(4 * width, 8 * width, stride=2), _conv(8 * width, 8 * width))
        self.conv5 = nn.Sequential(_conv(8 * width, 8 * width, stride=2), _conv(8 * width, 8 * width))
        self.conv6 = nn.Sequential(_conv(8 * width, 16 * width, stride=2), _conv(16 * width, 16 * width))
        self.coarsest = _predict(16 * width)
        # Channels of the deconvolution, and those of the encoder at the same size.
        sizes = ((8, 8), (4, 8), (2, 4), (2, 2), (1, 1))
        steps = [(deconvolved * width, skipped * width) for deconvolved, skipped in sizes] + [(width // 2, 1)]
        below, levels = 16 * width, []
        for deconvolved, skipped in steps:
            levels.append(_Refinement(below, deconvolved, skipped))
            below = deconvolved + skipped + 2
        self.levels = nn.ModuleList(levels)

    def forward(self, frames: Tensor, features: Tensor) -> Tensor:
        """Flow float32 [N, F - 1, 2, 128, 128] from each frame to the next, in px.

        `frames` float32 [N, F, 128, 128], grey about -1..1; `features` float32 [N, F - 1, extra, 16, 16].
        """
        count, pairs = frames.shape[:2]
        pictures = frames.reshape(-1, 1, *frames.shape[2:])
        wide = self.conv1(pictures)
        middle = self.conv2(wide)
        narrow = self.conv3(middle).unflatten(0, (count, pairs))
        first, second = narrow[:, :-1].flatten(0, 1), narrow[:, 1:].flatten(0, 1)
        matched = functional.leaky_relu(self.correlation(first, second), _SLOPE)
        maps3 = self.merged(torch.cat([self.redirect(first), matched, features.flatten(0, 1)], dim=1))
        maps4 = self.conv4(maps3)
        maps5 = self.conv5(maps4)
        maps6 = self.conv6(maps5)
        wide, middle, pictures = (
            each.unflatten(0, (count, pairs))[:, :-1].flatten(0, 1) for each in (wide, middle, pictures)
        )
        maps, flow = maps6, self.coarsest(maps6)
        for level, skipped in zip(self.levels, (maps5, maps4, maps3, middle, wide, pictures), strict=True):
            maps, flow = level(maps, flow, skipped)
        result: Tensor = flow.unflatten(0, (count, pairs - 1))
        return result


class _Refinement(nn.Module):
    """One step of the decoder: twice the size, joined by the encoder's maps of that size, and flow anew."""

    def __init__(self, below: int, width: int, skipped: int) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(below, width, 4, 2, 1, bias=False)
        self.enlarge_flow = nn.ConvTranspose2d(2, 2, 4, 2, 1, bias=False)
        self.predict = _predict(width + skipped + 2)

    def forward(self, maps: Tensor, flow: Tensor, skipped: Tensor) -> tuple[Tensor, Tensor]:
        enlarged = functional.leaky_relu(self.enlarge(maps), _SLOPE)
        joined = torch.cat([skipped, enlarged, self.enlarge_flow(flow)], dim=1)
        return joined, self.predict(joined)


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, padding: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(_SLOPE)
    )


def _predict(inputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, 2, 3, padding=1, bias=False)


def _places() -> Tensor:
    """int64 [441 * 256]: where a displacement of a position lies in the rows of products, which have 257 columns."""
    moves = torch.arange(-_REACH, _REACH + 1) * _STEP
    down, right, y, x = torch.meshgrid(moves, moves, torch.arange(_SIDE), torch.arange(_SIDE), indexing="ij")
    row, column = y + down, x + right
    inside = (row >= 0) & (row < _SIDE) & (column >= 0) & (column < _SIDE)
    target = torch.where(inside, row * _SIDE + column, _SIDE * _SIDE)
    return ((y * _SIDE + x) * (_SIDE * _SIDE + 1) + target).flatten()
