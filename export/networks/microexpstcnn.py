"""MicroExpSTCNN: a grey clip of the face as one volume, one convolution over space and a long time, two dense layers.

Reddy, Karri, Dubey and Mukherjee, "Spontaneous Facial Micro-Expression Recognition using 3D Spatiotemporal
Convolutional Neural Networks", IJCNN 2019, arXiv 1904.01390; what the paper leaves open is from the authors' code.

Input: float32 [N, 18, 64, 64], grey 0..255, time first. It is centred and scaled inside, by two numbers that belong to
the weights. Output: logits float32 [N, 3] in the order of `export.labels.LABELS`.

**Of 18 frames it sees 17.** The kernel is 15 frames long, so the convolution answers at four times, of which pooling
takes the first three and drops the last. It is served as three convolutions of two dimensions with 15 frames as their
channels, and their maximum (`VolumeStream.for_serving`), which is the same function.

Deviations: time is the first axis of the volume and not the last, so that the dense layer reads the same features in
another order; centring and scaling are of the training data alone, where the authors' look at the validation clips too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks.microexp_keras import adopt_face
from export.networks.network import Network
from server.contract import TensorSpec

_FILTERS = 32
_KERNEL = (15, 3, 3)
_POOL = 3
_HIDDEN = 128
_DENSE_SPREAD = 0.05
_MIDDLE = 127.5


class VolumeStream(nn.Module):
    """Scaling, one convolution over time and space, pooling, and the volume laid out as one vector.

    `mean` and `peak`, float32 [], are not trained: the mean of the clips and the maximum of what is left of them
    without it. Until `fit_scaling` they bring 0..255 to -1..1. `features` is the length of the vector.
    """

    mean: Tensor
    peak: Tensor

    def __init__(self, *, frames: int, side: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(_MIDDLE))
        self.register_buffer("peak", torch.tensor(_MIDDLE))
        self.conv = nn.Conv3d(1, _FILTERS, _KERNEL)
        nn.init.xavier_uniform_(self.conv.weight)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)
        self.dropout = nn.Dropout(dropout)
        self.times = (frames - _KERNEL[0] + 1) // _POOL
        self.features = _FILTERS * self.times * ((side - _KERNEL[1] + 1) // _POOL) ** 2

    def forward(self, clips: Tensor) -> Tensor:
        """float32 [N, features] of `clips` float32 [N, frames, side, side], 0..255."""
        volumes = self.convolved(clips)
        pooled: Tensor = self.dropout(functional.max_pool3d(volumes, _POOL, _POOL)).flatten(1)
        return pooled

    def convolved(self, clips: Tensor) -> Tensor:
        """float32 [N, 32, frames - 14, side - 2, side - 2], before pooling."""
        return functional.relu(self.conv(((clips - self.mean) / self.peak)[:, None]))

    def fit_scaling(self, clips: Tensor) -> None:
        """Take mean and maximum of the training `clips`, float32 [N, frames, side, side]."""
        mean = clips.mean(dtype=torch.float64)
        self.mean.copy_(mean)
        # Clips of one grey level have nothing to scale.
        self.peak.copy_((clips.max() - mean).clamp(min=1.0))

    def for_serving(self) -> nn.Module:
        """The same function of two-dimensional convolutions, in evaluation mode."""
        return _Planes(self).eval()


class _Planes(nn.Module):
    """Frames as channels, one convolution at each time that pooling looks at; ReLU last, which maxima leave alone."""

    mean: Tensor
    peak: Tensor

    def __init__(self, stream: VolumeStream) -> None:
        super().__init__()
        self.times = stream.times
        self.register_buffer("mean", stream.mean.clone())
        self.register_buffer("peak", stream.peak.clone())
        self.conv = nn.Conv2d(_KERNEL[0], _FILTERS, _KERNEL[1:])
        assert self.conv.bias is not None
        assert stream.conv.bias is not None
        with torch.no_grad():
            self.conv.weight.copy_(stream.conv.weight[:, 0])
            self.conv.bias.copy_(stream.conv.bias)

    def forward(self, clips: Tensor) -> Tensor:
        scaled = (clips - self.mean) / self.peak
        planes = [self.conv(scaled[:, time : time + _KERNEL[0]]) for time in range(_POOL * self.times)]
        pooled = []
        for first in range(0, len(planes), _POOL):
            before, middle, after = planes[first : first + _POOL]
            pooled.append(functional.max_pool2d(torch.maximum(torch.maximum(before, middle), after), _POOL, _POOL))
        return functional.relu(torch.stack(pooled, dim=2)).flatten(1)


def dense(inputs: int, outputs: int) -> nn.Linear:
    """A dense layer that starts as those of the authors do: spread 0.05 whatever its size, no offset."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=_DENSE_SPREAD)
    nn.init.zeros_(layer.bias)
    return layer


class MicroExpSTCNN(nn.Module):
    """The stream of the whole face and two dense layers; `frames` of a clip, 18 or 96 in the paper."""

    def __init__(self, *, frames: int = 18, side: int = 64, classes: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        stream = VolumeStream(frames=frames, side=side, dropout=dropout)
        self.stream: nn.Module = stream
        self.head = nn.Sequential(
            dense(stream.features, _HIDDEN), nn.ReLU(), nn.Dropout(dropout), dense(_HIDDEN, classes)
        )

    def forward(self, clip: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `clip` float32 [N, frames, side, side], 0..255."""
        logits: Tensor = self.head(self.stream(clip))
        return logits

    def fit_scaling(self, clips: Tensor) -> None:
        """Centre and scale by the training `clips`, float32 [N, frames, side, side]; before training."""
        assert isinstance(self.stream, VolumeStream)
        self.stream.fit_scaling(clips)

    def for_serving(self) -> MicroExpSTCNN:
        """The same function without a convolution over time. In evaluation mode; changes this network."""
        if isinstance(self.stream, VolumeStream):
            self.stream = self.stream.for_serving()
        return self.eval()


NETWORKS = (
    Network(
        name="microexpstcnn",
        build=MicroExpSTCNN,
        citation=(
            "Reddy, Karri, Dubey, Mukherjee: Spontaneous Facial Micro-Expression Recognition using 3D Spatiotemporal "
            "Convolutional Neural Networks. IJCNN 2019, arXiv 1904.01390"
        ),
        recipe="clip_gray_18x64",
        inputs=(
            TensorSpec(
                name="clip",
                dims=(18, 64, 64),
                meaning="the aligned face at 18 times evenly from onset to offset: time, row, column; grey 0..255",
            ),
        ),
        eight_bits=True,
        samples=2_000,
        plan={"learning_rate": 1e-3, "batch_size": 16, "epochs": 12},
        readings=(
            "18 frames evenly from onset to offset, in order, where the code takes the first 18 of an unsorted folder.",
            "An aligned face, where the code shrinks the whole video frame.",
            "No dropout after the last layer, which the paper's table lists and the code does not have.",
            "Mean and maximum of the training clips, stored with the weights, where the code looks at all clips.",
            "AdamW with a learning rate of 0.001: plain SGD with 0.01 collapsed in rows of the paper's own study.",
        ),
        reported=(
            "SMIC 68.75 % and CAS(ME)^2 87.80 % accuracy on 32 and 41 clips, of the epoch that was best on them, with "
            "people of the training among them; over the last ten epochs 62.50 % and 82.20 %. CAS(ME)^2 clips of 96 "
            "frames are mostly macro-expressions."
        ),
        keras=adopt_face,
    ),
)
