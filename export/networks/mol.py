"""MOL: micro-expression, optical flow and facial landmarks estimated together, from eight grey frames.

Shao, Cheng, Li, Zhou, Lu, Xie and Ma, "MOL: Joint Estimation of Micro-Expression, Optical Flow, and Landmark via
Transformer-Graph-Style Convolution", IEEE TPAMI 2025, arXiv 2506.14511; structure from the authors' code.

Input: `video` float32 [N, 1, 8, 128, 128], grey 0..255, of an aligned face from onset to offset. Output: logits float32
[N, 3] in the order of `export.labels.LABELS`; `MOL.joint` gives the flow of each pair of consecutive frames and the
landmarks of its second frame as well, which only training needs. What is served is the path to the class alone.

An F5C block is a fully-connected convolution (FCC), which goes around whole rows and columns, and a channel
correspondence convolution (CCC), which looks at nearest neighbours as a graph network does. Paper and code disagree on
the latter: its nodes are the channels in the paper (default here), the positions in the code, which takes off a node
twice from its neighbour, counts it as its own neighbour and lacks the convolution behind. `ccc="code"` builds that,
with the layers that the code declares and does not use, so that parameters can be counted.

Deviations: one fixed scale of grey levels, where the authors normalise each file by its own mean and maximum, and batch
statistics over all pairs of a clip at once, where theirs are of one pair after the other.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.networks.mol_flow import PairFlow
from export.networks.network import Network, Weights
from server.contract import TensorSpec
from server.recipes.frames_8x128 import DIMS, FRAMES, INPUT

Semantics: TypeAlias = Literal["paper", "code"]

PAIRS = FRAMES - 1
CHANNELS = 128
SIDE = 16
LANDMARKS = 68
_HALF = CHANNELS // 2
_POSITIONS = SIDE * SIDE
_NEIGHBOURS = 4
_DECLARED = 32
"""Length of kernels and embeddings in the authors' code, which uses the first 16 of them."""


class Joint(NamedTuple):
    """`logits` float32 [N, classes]; `flow` float32 [N, 2, 128, 128, 7] in px, u then v, from each frame to the next;
    `landmarks` float32 [N, 136, 7] in px, x0, y0, x1, ..., of each but the first frame.
    """

    logits: Tensor
    flow: Tensor
    landmarks: Tensor


class CircularConvolution(nn.Module):
    """FCC: two depth-wise convolutions over whole columns and whole rows, wrapped around, added to what came in.

    One half of the channels is convolved down first and across then, the other half the other way round.
    """

    def __init__(self, *, length: int = SIDE) -> None:
        super().__init__()
        self.down, self.across = (nn.ParameterList(_embedding(length, axis) for _ in range(2)) for axis in (2, 3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(_HALF) for _ in range(2))
        self.columns = nn.ModuleList(nn.Conv2d(_HALF, _HALF, (length, 1), groups=_HALF) for _ in range(2))
        self.rows = nn.ModuleList(nn.Conv2d(_HALF, _HALF, (1, length), groups=_HALF) for _ in range(2))

    def forward(self, maps: Tensor) -> Tensor:
        """float32 [N, 128, 16, 16] of the same shape."""
        first, second = maps[:, :_HALF], maps[:, _HALF:]
        first = self.norms[0](first + self.down[0][:, :SIDE])
        second = self.norms[1](second + self.across[0][:, :, :SIDE])
        first, second = _around(first, self.columns[0], 2), _around(second, self.rows[0], 3)
        first, second = first + self.across[1][:, :, :SIDE], second + self.down[1][:, :SIDE]
        first, second = _around(first, self.rows[1], 3), _around(second, self.columns[1], 2)
        return torch.cat([first, second], dim=1) + maps


class DeclaredCircularConvolution(CircularConvolution):
    """FCC with all that the authors' code declares: longer kernels, and a feed-forward part that is never called."""

    def __init__(self) -> None:
        super().__init__(length=_DECLARED)
        self.unused = nn.Sequential(
            nn.BatchNorm2d(CHANNELS), nn.Conv2d(CHANNELS, 2, 1), nn.Hardswish(), nn.Conv2d(2, CHANNELS, 1)
        )


class ChannelGraph(nn.Module):
    """CCC as the paper tells it: each channel takes the most of what its four nearest channels differ in."""

    itself: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.own, self.difference = nn.Linear(_POSITIONS, _POSITIONS), nn.Linear(_POSITIONS, _POSITIONS)
        self.mix = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.register_buffer("itself", 4.0 * torch.eye(CHANNELS), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """float32 [N, 128, 16, 16] of the same shape."""
        nodes = maps.reshape(-1, CHANNELS, _POSITIONS)
        # Cosines are at most 1, so no node is its own neighbour.
        nearest = _nearest(nodes, self.itself)
        # W (x_j - x_i) = W x_j - W x_i, and the largest of many sums with one common term is that of the others.
        mapped = functional.linear(nodes, self.difference.weight)
        index = nearest.reshape(-1, CHANNELS * _NEIGHBOURS, 1).expand(-1, -1, _POSITIONS)
        others = mapped.gather(1, index).reshape(-1, CHANNELS, _NEIGHBOURS, _POSITIONS).amax(2)
        edges = torch.relu(self.own(nodes) + self.difference.bias + others - mapped)
        result: Tensor = maps + self.mix(edges.reshape(-1, CHANNELS, SIDE, SIDE))
        return result


class PositionGraph(nn.Module):
    """CCC as the authors' code has it: neighbours among the positions, each its own first one."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.difference = nn.Linear(_POSITIONS, _POSITIONS), nn.Linear(_POSITIONS, _POSITIONS)

    def forward(self, maps: Tensor) -> Tensor:
        """float32 [N, 128, 16, 16] of the same shape."""
        rows = maps.reshape(-1, CHANNELS, _POSITIONS)
        nearest = _nearest(rows.transpose(1, 2)).transpose(1, 2)
        index = nearest.reshape(-1, 1, _NEIGHBOURS * _POSITIONS).expand(-1, CHANNELS, -1)
        taken = rows.gather(2, index).reshape(-1, CHANNELS, _NEIGHBOURS, _POSITIONS)
        weight = self.difference.weight
        others = functional.linear(taken, weight).amax(2) - 2.0 * functional.linear(rows, weight)
        edges = torch.relu(self.own(rows) + self.difference.bias + others)
        return maps + edges.reshape(-1, CHANNELS, SIDE, SIDE)


class F5C(nn.Module):
    """A stem that all frames share, then FCC and CCC with weights of their own for first and for second frames."""

    def __init__(self, ccc: Semantics) -> None:
        super().__init__()
        # Without a norm or an activation in between, as in the authors' code.
        self.stem = nn.Sequential(
            nn.Conv2d(1, 8, 4, stride=2),
            nn.Conv2d(8, 32, 3, stride=2),
            nn.Conv2d(32, 64, 2, stride=2, padding=1),
            nn.Conv2d(64, CHANNELS, 1),
        )
        self.first, self.second = (_block(ccc) for _ in range(2))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Features of frames 0..6 as first and of frames 1..7 as second ones of a pair, float32 [N, 7, 128, 16, 16]
        each, of `frames` float32 [N, 8, 128, 128] about -1..1.
        """
        stem = self.stem(frames.reshape(-1, 1, *frames.shape[2:])).reshape(-1, FRAMES, CHANNELS, SIDE, SIDE)
        first, second = (
            block(part.reshape(-1, CHANNELS, SIDE, SIDE)).reshape(-1, PAIRS, CHANNELS, SIDE, SIDE)
            for block, part in ((self.first, stem[:, :-1]), (self.second, stem[:, 1:]))
        )
        return first, second


class Recognition(nn.Module):
    """The path from frames to class, which needs neither of the other heads."""

    def __init__(self, classes: int, dropout: float, ccc: Semantics) -> None:
        super().__init__()
        self.features = F5C(ccc)
        self.head = nn.Sequential(
            nn.Conv3d(CHANNELS, 32, (2, 2, 5), stride=(2, 2, 1)),
            nn.MaxPool3d(2),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4 * 5, 256),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(256, classes),
        )

    def forward(self, video: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `video` float32 [N, 1, 8, 128, 128], 0..255."""
        return self.classify(*self.features(scaled(video)))

    def classify(self, first: Tensor, second: Tensor) -> Tensor:
        """Logits float32 [N, classes] of the features of all pairs, each float32 [N, 7, 128, 16, 16]."""
        slices = torch.stack([first, second], dim=2).reshape(-1, 2 * PAIRS, CHANNELS, SIDE, SIDE)
        logits: Tensor = self.head(slices.permute(0, 2, 3, 4, 1))
        return logits


class MOL(nn.Module):
    """The path to the class and the two heads that are trained beside it."""

    def __init__(self, *, classes: int = 3, dropout: float = 0.5, ccc: Semantics = "paper") -> None:
        super().__init__()
        self.recognition = Recognition(classes, dropout, ccc)
        self.flow = PairFlow(2 * CHANNELS)
        self.landmarks = nn.Sequential(
            nn.Conv2d(CHANNELS, 32, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * (SIDE - 2) ** 2, 512),
            nn.ReLU(),
            nn.Linear(512, 2 * LANDMARKS),
        )

    def forward(self, video: Tensor) -> Tensor:
        """Logits float32 [N, classes] of `video` float32 [N, 1, 8, 128, 128], 0..255."""
        logits: Tensor = self.recognition(video)
        return logits

    def joint(self, video: Tensor) -> Joint:
        """What all three heads say of `video` float32 [N, 1, 8, 128, 128], 0..255."""
        frames = scaled(video)
        first, second = self.recognition.features(frames)
        landmarks = self.landmarks(second.reshape(-1, CHANNELS, SIDE, SIDE)).reshape(-1, PAIRS, 2 * LANDMARKS)
        flow = self.flow(frames, torch.cat([first, second], dim=2))
        return Joint(self.recognition.classify(first, second), flow.permute(0, 2, 3, 4, 1), landmarks.transpose(1, 2))

    def for_serving(self) -> Recognition:
        """The path to the class alone: the same logits. In evaluation mode."""
        return self.recognition.eval()


def scaled(video: Tensor) -> Tensor:
    """Frames float32 [N, 8, 128, 128] within -1..1 of `video` float32 [N, 1, 8, 128, 128], 0..255."""
    return (video[:, 0] - 127.5) / 127.5


def _block(ccc: Semantics) -> nn.Sequential:
    if ccc == "code":
        return nn.Sequential(DeclaredCircularConvolution(), PositionGraph())
    return nn.Sequential(CircularConvolution(), ChannelGraph())


def _embedding(length: int, axis: int) -> nn.Parameter:
    shape = (_HALF, length, 1) if axis == 2 else (_HALF, 1, length)
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02))


def _around(maps: Tensor, conv: nn.Module, axis: int) -> Tensor:
    """Convolved over `axis`, whose end continues at its start, with as much of the kernel as the axis is long."""
    assert isinstance(conv, nn.Conv2d)
    wrapped = torch.cat([maps, maps.narrow(axis, 0, SIDE - 1)], dim=axis)
    return functional.conv2d(wrapped, conv.weight[:, :, :SIDE, :SIDE], conv.bias, groups=_HALF)


def _nearest(nodes: Tensor, handicap: Tensor | None = None) -> Tensor:
    """Numbers int64 [N, M, 4] of the nodes of the largest cosine to each of `nodes` [N, M, D], less `handicap`."""
    unit = nodes / nodes.square().sum(2, keepdim=True).clamp_min(1e-12).sqrt()
    likeness = unit @ unit.transpose(1, 2)
    if handicap is not None:
        likeness = likeness - handicap
    return torch.topk(likeness, _NEIGHBOURS, dim=2).indices


NETWORKS = (
    Network(
        name="mol",
        build=MOL,
        citation=(
            "Shao, Cheng, Li, Zhou, Lu, Xie, Ma: MOL: Joint Estimation of Micro-Expression, Optical Flow, and Landmark "
            "via Transformer-Graph-Style Convolution. IEEE TPAMI 2025, doi 10.1109/TPAMI.2025.3581162, arXiv 2506.14511"
        ),
        recipe="frames_8x128",
        inputs=(
            TensorSpec(
                name=INPUT,
                dims=DIMS[INPUT],
                meaning="8 grey frames 0..255 of the aligned face, evenly in time from onset to offset",
            ),
        ),
        trained=Weights(preparation="as_is"),
        published=Weights(preparation="as_is"),
        eight_bits=True,
        samples=2_000,
        plan={"learning_rate": 3e-4, "batch_size": 32, "epochs": 10, "weight_decay": 1e-3},
        readings=(
            (
                "Paper and code differ: neighbours are sought among channels, without the node itself, and a 1x1 "
                "convolution follows, as in the paper; the code's own way can be built."
            ),
            "Grey levels have one fixed scale; the authors' normalisation of each file sees its test samples.",
            (
                "Frames lie evenly from onset to offset and show the whole aligned crop, whose scale is about that of "
                "the authors' frames but whose eyes lie lower; theirs are aligned one by one."
            ),
            "Flow and landmark heads are trained only by a joint loss; the class is served without them.",
        ),
        reported=(
            "The abstract claims the best result on CASME II, SAMM and SMIC; its figures were not at hand. The "
            "authors' code takes the epoch that is best on the test subject."
        ),
    ),
)
