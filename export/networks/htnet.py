"""HTNet: a mosaic of four face corners, cut into patches and merged over three levels of transformer layers.

Wang, Zhang, Zhang, Cheng and Sankaranarayana, "HTNet for micro-expression recognition", Neurocomputing 602, 2024,
arXiv 2307.14637; structure from the authors' code.

Input: float32 [N, 3, 28, 28] (u, v, strain) as `export.networks.blocks.NoseCentred` makes it. Output: logits float32
[N, 3] in the order of `export.labels.LABELS`.

**Its attention does nothing.** With 4 x 4 patches and three levels every block holds a single token, the softmax over
one key is 1, and a layer is a linear map of its own token: queries and keys never reach the output. The network is a
residual perceptron for each patch with two convolutions that merge neighbours. It is built as published, so that
parameters can be counted, and served without queries and keys (`HTNet.for_serving`), which is the same function.

Deviations: width 32 instead of 256, and 2, 2 and 8 layers, so that it fits a desk; other sizes can be built. The mosaic
is that of the aligned face, on which eyes and mouth corners lie still, so windows are constants of the graph; the
published code looks for landmarks in a thumbnail of 28 px and takes x for the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks.htnet_names import adopt
from export.networks.network import FLOW_INPUT, Network, Weights

_PATCH = 7
_GRID = 4
_WINDOW = 14
_CORNERS = ((0, 0), (0, 14), (14, 0), (14, 13))
"""Row and column of each window: eyes, then mouth corners, of a face whose eyes lie at a fifth and four fifths."""
_PUBLISHED_CORNERS = ((2, 4), (14, 3), (3, 14), (13, 14))
"""Those of the authors' code where it finds no landmarks: it takes x for the row, so upper left, lower left, upper
right and lower right of the face fill the mosaic row by row.
"""
_RATIO = 4

Corners: TypeAlias = tuple[tuple[int, int], ...]


class HTNet(nn.Module):
    """`width` and `heads` of the first level, doubled from level to level; `layers` of each; `mosaic` as it is here or
    as the published code has it.
    """

    def __init__(
        self,
        *,
        width: int = 32,
        heads: int = 3,
        layers: Sequence[int] = (2, 2, 8),
        classes: int = 3,
        mosaic: Literal["aligned", "published"] = "aligned",
    ) -> None:
        super().__init__()
        self.corners = _PUBLISHED_CORNERS if mosaic == "published" else _CORNERS
        self.embed = nn.Conv2d(3 * _PATCH * _PATCH, width, 1)
        widths = [width * 2**level for level in range(len(layers))]
        self.levels = nn.ModuleList(
            _Level(wide, heads * 2**level, depth)
            for level, (wide, depth) in enumerate(zip(widths, layers, strict=True))
        )
        self.merges = nn.ModuleList(_Merge(before, after) for before, after in pairwise(widths))
        last = widths[-1]
        self.norm = _ChannelNorm(last)
        self.head = nn.Linear(last, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `images` float32 [N, 3, 28, 28]."""
        tokens = self.embed(patches(mosaic(images, self.corners)))
        for number, level in enumerate(self.levels):
            tokens = level(tokens)
            if number < len(self.merges):
                tokens = self.merges[number](tokens)
        logits: Tensor = self.head(self.norm(tokens).mean((2, 3)))
        return logits

    def for_serving(self) -> HTNet:
        """The same function without queries and keys. In evaluation mode; changes this network."""
        for level in self.levels:
            assert isinstance(level, _Level)
            level.fold()
        return self.eval()


def mosaic(images: Tensor, corners: Corners = _CORNERS) -> Tensor:
    """Four windows of float32 [N, C, 28, 28] as one picture of the same shape: left and right eye above left and right
    mouth corner.
    """
    first, second, third, fourth = (
        images[:, :, row : row + _WINDOW, column : column + _WINDOW] for row, column in corners
    )
    return torch.cat([torch.cat([first, second], dim=3), torch.cat([third, fourth], dim=3)], dim=2)


def patches(images: Tensor) -> Tensor:
    """Each patch of 7 x 7 as channels in the order row, column, channel: float32 [N, 147, 4, 4]."""
    cut = images.reshape(-1, 3, _GRID, _PATCH, _GRID, _PATCH)
    return cut.permute(0, 3, 5, 1, 2, 4).reshape(-1, _PATCH * _PATCH * 3, _GRID, _GRID)


class _Level(nn.Module):
    """Layers on blocks of one token, which all have the same position, a learned scalar."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1))
        self.layers = nn.ModuleList(_Layer(width, heads) for _ in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.position
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens

    def fold(self) -> None:
        """Replace the attention of every layer by the linear map that it is."""
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            if isinstance(layer.attention, _Attention):
                layer.attention = layer.attention.folded()


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before_attention, self.before_feed = _ChannelNorm(width), _ChannelNorm(width)
        self.attention: nn.Module = _Attention(width, heads)
        self.feed = nn.Sequential(nn.Conv2d(width, _RATIO * width, 1), nn.GELU(), nn.Conv2d(_RATIO * width, width, 1))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.before_attention(tokens))
        result: Tensor = tokens + self.feed(self.before_feed(tokens))
        return result


class _Attention(nn.Module):
    """Multi-head self-attention within blocks of one token, written out so that it can be seen to be linear."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inner = width // heads * heads
        self.qkv = nn.Conv2d(width, 3 * self.inner, 1, bias=False)
        self.out = nn.Conv2d(self.inner, width, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        side = tokens.shape[2]
        query, key, value = self.qkv(tokens).reshape(-1, 3, self.heads, self.inner // self.heads, side, side).unbind(1)
        # One key for each query: [N, heads, side, side], of which the softmax is taken over an axis of length one.
        score = (query * key).sum(2) * (self.inner // self.heads) ** -0.5
        share = torch.softmax(score[..., None], dim=-1)[..., 0]
        result: Tensor = self.out((share[:, :, None] * value).reshape(-1, self.inner, side, side))
        return result

    def folded(self) -> nn.Conv2d:
        """Values and output projection as one convolution."""
        value, out = self.qkv.weight[2 * self.inner :, :, 0, 0], self.out.weight[:, :, 0, 0]
        merged = nn.Conv2d(value.shape[1], out.shape[0], 1)
        with torch.no_grad():
            merged.weight.copy_((out.double() @ value.double()).float()[:, :, None, None])
            assert merged.bias is not None
            assert self.out.bias is not None
            merged.bias.copy_(self.out.bias)
        return merged


class _ChannelNorm(nn.Module):
    """Normalises over channels at each position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, width, 1, 1))
        self.offset = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, tokens: Tensor) -> Tensor:
        centred = tokens - tokens.mean(1, keepdim=True)
        spread = (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
        result: Tensor = centred / spread * self.gain + self.offset
        return result


class _Merge(nn.Module):
    """A convolution over neighbouring tokens and max pooling that leaves a quarter of them."""

    def __init__(self, width: int, wider: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, wider, 3, padding=1)
        self.norm = _ChannelNorm(wider)

    def forward(self, tokens: Tensor) -> Tensor:
        return functional.max_pool2d(self.norm(self.conv(tokens)), 3, 2, padding=1)


NETWORKS = (
    Network(
        name="htnet",
        build=HTNet,
        citation=(
            "Wang, Zhang, Zhang, Cheng, Sankaranarayana: HTNet for micro-expression recognition. Neurocomputing 602, "
            "2024, arXiv 2307.14637"
        ),
        recipe="flow_uvs_28",
        inputs=(FLOW_INPUT,),
        trained=Weights(preparation="nose_centred"),
        eight_bits=True,
        plan={"learning_rate": 1e-3},
        readings=(
            (
                "A smaller variant: width 32 and 2, 2, 8 layers, where the authors' has 256 and 2, 2, 10 (139,582,982 "
                "parameters)."
            ),
            (
                "Attention is without effect in the published setting, since each block holds one token; it is served "
                "without queries and keys, as the same function."
            ),
            "The mosaic is taken at fixed places of the aligned face, not at landmarks found in a thumbnail.",
            "Flow is scaled against the motion of the nose, as for every flow network here.",
        ),
        reported=(
            "MEGC2019 composite, leave one subject out: UF1 0.8603, UAR 0.8475, of the epoch that was best on the test "
            "subject; the predictions that the authors published give 0.8313 and 0.8175."
        ),
        adopt=adopt,
    ),
)
