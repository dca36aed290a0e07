"""The pre-activation residual network of ten weighted layers that Micro-Attention and ATNet share, for one grey face.

Structure from the authors' Caffe files: CodeShareBot/Micro-Attention-for-Micro-Expression (Wang, Peng, Bi and Chen,
Neurocomputing 410, 2020) and Trunpm/ACII19-Apex-Time-Network (Peng, Wang, Bi, Shi, Zhou and Chen, ACII 2019).

Input: float32 [N, 1, 224, 224], grey 0..255, which a batch normalisation scales. Output: float32 [N, 512].
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from server.contract import TensorSpec

APEX_INPUT = TensorSpec(name="apex", dims=(1, 224, 224), meaning="the face square at the apex, grey, 0 to 255")
FEATURES = 512
ATTENTION_DIMS = (7, 7)
"""Of the last block: each place stands for 32 x 32 px of the face."""
_WIDTHS = (64, 64, 128, 256, FEATURES)
_TINY = 1e-10


class ResNet10(nn.Module):
    """With `attention` every block weighs the places of its own output. With `late_mask` the last normalisation comes
    before the attention of the last block, not after it.
    """

    def __init__(self, *, attention: bool = False, late_mask: bool = False) -> None:
        super().__init__()
        first, last = _WIDTHS[0], _WIDTHS[-1]
        self.scale = nn.BatchNorm2d(1)
        self.stem = nn.Sequential(nn.Conv2d(1, first, 7, 2, 3), nn.BatchNorm2d(first), nn.ReLU())
        self.blocks = nn.Sequential(*(Block(*widths, attention=attention) for widths in pairwise(_WIDTHS)))
        finish = nn.Sequential(nn.BatchNorm2d(last), nn.ReLU())
        self.last: nn.Module = finish
        if late_mask:
            self.last, self.blocks[-1].finish = nn.Identity(), finish
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, faces: Tensor) -> Tensor:
        """float32 [N, 512] of `faces` float32 [N, 1, 224, 224]."""
        pooled: Tensor = self.last(self.blocks(self._begun(faces))).mean((2, 3))
        return pooled

    def attended(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """The same with the attention of the last block, float32 [N, 7, 7], 0..1. For a network with attention."""
        *blocks, final = self.blocks
        found = self._begun(faces)
        for block in blocks:
            found = block(found)
        assert isinstance(final, Block)
        found, mask = final.attended(found)
        assert mask is not None
        return self.last(found).mean((2, 3)), mask.squeeze(1)

    def _begun(self, faces: Tensor) -> Tensor:
        found = self.stem(self.scale(faces))
        # Caffe rounds sizes up. What is pooled is never negative, so a border of zeros does the same in every runtime.
        return functional.max_pool2d(functional.pad(found, (0, 1, 0, 1)), 3, 2)

    def fold(self) -> None:
        """Replace the attention of every block by its equal with a single channel."""
        for block in self.blocks:
            assert isinstance(block, Block)
            if isinstance(block.attention, Attention):
                block.attention = block.attention.folded()


class Block(nn.Module):
    """Two convolutions, the first of stride 2 where the width grows, and a shortcut.

    `finish` acts on their sum before the attention does; it does nothing unless it is replaced.
    """

    def __init__(self, inputs: int, width: int, *, attention: bool) -> None:
        super().__init__()
        grows = width != inputs
        stride = 2 if grows else 1
        # What the first block gets has just been normalised and rectified.
        self.before = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU()) if grows else nn.Identity()
        self.shortcut = nn.Conv2d(inputs, width, 1, stride, bias=False) if grows else nn.Identity()
        self.first = nn.Sequential(nn.Conv2d(inputs, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.finish: nn.Module = nn.Identity()
        self.attention: nn.Module | None = Attention(width, width) if attention else None

    def forward(self, found: Tensor) -> Tensor:
        """float32 [N, width, H', W'] of `found` float32 [N, inputs, H, W], half as high and wide where it grows."""
        return self.attended(found)[0]

    def attended(self, found: Tensor) -> tuple[Tensor, Tensor | None]:
        """The same with its attention, float32 [N, 1, H', W'], where it has one."""
        active = self.before(found)
        shortcut, first = self.shortcut(active), self.first(active)
        second = self.second(first)
        total: Tensor = self.finish(shortcut + second)
        if self.attention is None:
            return total, None
        mask = self.attention(shortcut, first, second)
        return total + total * mask, mask


class Attention(nn.Module):
    """How much each place counts, 0..1: the mean of `maps` mixtures of a block's three feature maps, through a sigmoid.

    Nothing that bends lies between mixing and mean, so one mixture with averaged weights is the same function.
    """

    def __init__(self, width: int, maps: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3 * width, maps, 1, bias=False)

    def forward(self, shortcut: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """float32 [N, 1, H, W] of three float32 [N, width, H, W]."""
        mixed = self.mix(torch.cat([shortcut, first, second], dim=1))
        return torch.sigmoid(mixed.mean(1, keepdim=True))

    def folded(self) -> Attention:
        """The same function with one mixture."""
        weight = self.mix.weight
        single = Attention(weight.shape[1] // 3, 1)
        with torch.no_grad():
            single.mix.weight.copy_(weight.double().mean(0, keepdim=True))
        return single


def unit_length(vectors: Tensor) -> Tensor:
    """float32 [N, D], each divided by its length; a vector of zeros stays one."""
    return vectors / vectors.square().sum(1, keepdim=True).clamp_min(_TINY).sqrt()


def dense_head(inputs: int, classes: int) -> nn.Linear:
    """The last layer as the authors begin it: Xavier weights, every bias 0.2."""
    head = nn.Linear(inputs, classes)
    nn.init.xavier_uniform_(head.weight)
    nn.init.constant_(head.bias, 0.2)
    return head
