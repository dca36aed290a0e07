"""MicroExpFuseNet: a volume of the eyes and one of the mouth, each with its convolution, joined early or late.

Reddy, Karri, Dubey and Mukherjee, "Spontaneous Facial Micro-Expression Recognition using 3D Spatiotemporal
Convolutional Neural Networks", IJCNN 2019, arXiv 1904.01390; what the paper leaves open is from the authors' code. Its
sister network of the whole face is in `export.networks.microexpstcnn`.

Inputs: `eyes` and `mouth`, float32 [N, 18, 32, 32] each, grey 0..255, time first, each scaled inside by two numbers
that belong to the weights. Output: logits float32 [N, 3] in the order of `export.labels.LABELS`.

**Intermediate and late fusion are the same family of functions.** The dense layers have no activation, so behind the
pooled volumes both are one linear map from 6400 numbers to 3; they differ in how dropout and the factors of that map
shape the training. Both are built as published, so that parameters can be counted, and served as that one map
(`for_serving`).

Deviations: as those of `export.networks.microexpstcnn`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from export.networks.microexp_keras import adopt_intermediate, adopt_late
from export.networks.microexpstcnn import VolumeStream, dense
from export.networks.network import Network
from server.contract import TensorSpec

_WIDE, _NARROW = 1024, 128


class MicroExpFuseNet(nn.Module, ABC):
    """The streams of eyes and mouth and whatever `head` makes logits of their features, laid side by side."""

    def __init__(self, *, frames: int, side: int, dropout: float) -> None:
        super().__init__()
        streams = [VolumeStream(frames=frames, side=side, dropout=dropout) for _ in range(2)]
        self.features = streams[0].features
        self.eyes: nn.Module
        self.mouth: nn.Module
        self.eyes, self.mouth = streams
        self.head: nn.Module = nn.Identity()

    def forward(self, eyes: Tensor, mouth: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `eyes` and `mouth`, float32 [N, frames, side, side] each, 0..255."""
        logits: Tensor = self.head(torch.cat([self.eyes(eyes), self.mouth(mouth)], dim=1))
        return logits

    def fit_scaling(self, eyes: Tensor, mouth: Tensor) -> None:
        """Centre and scale each stream by its training clips, float32 [N, frames, side, side]; before training."""
        for stream, clips in ((self.eyes, eyes), (self.mouth, mouth)):
            assert isinstance(stream, VolumeStream)
            stream.fit_scaling(clips)

    def for_serving(self) -> MicroExpFuseNet:
        """The same function without convolutions over time and with one dense layer. In evaluation mode; changes this
        network.
        """
        if isinstance(self.eyes, VolumeStream) and isinstance(self.mouth, VolumeStream):
            self.eyes, self.mouth = self.eyes.for_serving(), self.mouth.for_serving()
            self.head = _linear(*self._folded())
        return self.eval()

    @abstractmethod
    def _folded(self) -> tuple[Tensor, Tensor]:
        """Weight float64 [classes, features of both] and bias float64 [classes] of the head."""


class IntermediateFusion(MicroExpFuseNet):
    """Features of both regions are joined before the dense layers."""

    def __init__(self, *, frames: int = 18, side: int = 32, classes: int = 3, dropout: float = 0.5) -> None:
        super().__init__(frames=frames, side=side, dropout=dropout)
        self.head = nn.Sequential(*_tower(2 * self.features, dropout), nn.Dropout(dropout), dense(_NARROW, classes))

    def _folded(self) -> tuple[Tensor, Tensor]:
        assert isinstance(self.head, nn.Sequential)
        return _composed(self.head)


class LateFusion(MicroExpFuseNet):
    """Each region has dense layers of its own, and their answers are joined before the last."""

    def __init__(self, *, frames: int = 18, side: int = 32, classes: int = 3, dropout: float = 0.5) -> None:
        super().__init__(frames=frames, side=side, dropout=dropout)
        self.head = _TwoTowers(self.features, classes, dropout)

    def _folded(self) -> tuple[Tensor, Tensor]:
        assert isinstance(self.head, _TwoTowers)
        return self.head.folded()


class _TwoTowers(nn.Module):
    def __init__(self, features: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.features = features
        self.towers = nn.ModuleList(nn.Sequential(*_tower(features, dropout)) for _ in range(2))
        self.last = dense(2 * _NARROW, classes)

    def forward(self, features: Tensor) -> Tensor:
        parts = torch.split(features, self.features, dim=1)
        joined = torch.cat([tower(part) for tower, part in zip(self.towers, parts, strict=True)], dim=1)
        logits: Tensor = self.last(joined)
        return logits

    def folded(self) -> tuple[Tensor, Tensor]:
        weights, bias = [], self.last.bias.double()
        for tower, last in zip(self.towers, torch.split(self.last.weight.double(), _NARROW, dim=1), strict=True):
            weight, offset = _composed(tower.children())
            weights.append(last @ weight)
            bias = bias + last @ offset
        return torch.cat(weights, dim=1), bias


def _tower(features: int, dropout: float) -> Sequence[nn.Module]:
    return dense(features, _WIDE), nn.Dropout(dropout), dense(_WIDE, _NARROW)


def _composed(layers: Iterable[nn.Module]) -> tuple[Tensor, Tensor]:
    """Weight and bias, float64, of the dense `layers` one after another; dropout is none in evaluation."""
    first, *others = [layer for layer in layers if isinstance(layer, nn.Linear)]
    weight, bias = first.weight.double(), first.bias.double()
    for layer in others:
        factor = layer.weight.double()
        weight, bias = factor @ weight, factor @ bias + layer.bias.double()
    return weight, bias


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer


_CITATION = (
    "Reddy, Karri, Dubey, Mukherjee: Spontaneous Facial Micro-Expression Recognition using 3D Spatiotemporal "
    "Convolutional Neural Networks. IJCNN 2019, arXiv 1904.01390"
)
_INPUTS = (
    TensorSpec(
        name="eyes",
        dims=(18, 32, 32),
        meaning="brows and eyes at 18 times evenly from onset to offset: time, row, column; grey 0..255",
    ),
    TensorSpec(
        name="mouth",
        dims=(18, 32, 32),
        meaning="nose, cheeks and mouth at the same times: time, row, column; grey 0..255",
    ),
)
_READINGS = (
    "Dense layers without activation, as in the code; the paper does not say.",
    "One linear map behind the pooled volumes when served, which is the same function.",
    "18 frames evenly from onset to offset, in order, where the code takes the first 18 of an unsorted folder.",
    "Points of a face mesh for those of dlib, taken once for the whole movement.",
    "Mean and maximum of the training clips, stored with the weights, where the code looks at all clips.",
    "AdamW with a learning rate of 0.001, where the published SGD has 0.01.",
)
_REPORTED = (
    "{smic} % on SMIC and {casme} % on CAS(ME)^2, accuracy of the epoch that was best on training and validation clips "
    "together, with the same people in both: not comparable."
)
_PLAN = {"learning_rate": 1e-3, "batch_size": 16, "epochs": 12}

NETWORKS = tuple(
    Network(
        name=name,
        build=build,
        citation=_CITATION,
        recipe="clip_regions_18x32",
        inputs=_INPUTS,
        eight_bits=True,
        samples=2_000,
        plan=_PLAN,
        readings=_READINGS,
        reported=_REPORTED.format(smic=smic, casme=casme),
        keras=adopt,
    )
    for name, build, adopt, smic, casme in (
        ("microexpfusenet_intermediate", IntermediateFusion, adopt_intermediate, "54.77", "83.25"),
        ("microexpfusenet_late", LateFusion, adopt_late, "64.82", "79.31"),
    )
)
